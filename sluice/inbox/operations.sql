-- retry --
-- $1 stripe_event_ids  $2 who  $3 why. Waiting rows become due now. Locked rows are left as they are. The note in
-- error_logs commits with the change; it is resolved from the start.
WITH changed AS (
    UPDATE webhook_logs
    SET next_attempt_at = least(next_attempt_at, now())
    WHERE id = ANY (ARRAY(
        SELECT id
        FROM webhook_logs
        WHERE stripe_event_id = ANY ($1::text[])
          AND NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity'
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING stripe_event_id
), noted AS (
    INSERT INTO error_logs (severity, kind, message, stripe_event_id, service, resolved, resolved_at)
    SELECT 'info', 'webhook', format('Retried by %s: %s', $2::text, $3::text), stripe_event_id, 'operator', true, now()
    FROM changed
)
SELECT stripe_event_id FROM changed;

-- replay --
-- $1 stripe_event_ids  $2 who  $3 why. Dead rows become due as if never tried; the rest as in retry.
WITH changed AS (
    UPDATE webhook_logs
    SET dead_at = NULL,
        parked_at = NULL,
        postponed_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        published_at = NULL,
        next_attempt_at = now()
    WHERE id = ANY (ARRAY(
        SELECT id
        FROM webhook_logs
        WHERE stripe_event_id = ANY ($1::text[]) AND NOT processed AND dead_at IS NOT NULL
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING stripe_event_id
), noted AS (
    INSERT INTO error_logs (severity, kind, message, stripe_event_id, service, resolved, resolved_at)
    SELECT 'info', 'webhook', format('Replayed by %s: %s', $2::text, $3::text), stripe_event_id, 'operator', true, now()
    FROM changed
)
SELECT stripe_event_id FROM changed;

-- replay_ended --
-- $1 stripe_event_ids  $2 who  $3 why. Rows that are over, and have a body, become due as if never tried; the rest as in retry.
WITH changed AS (
    UPDATE webhook_logs
    SET processed = false,
        processed_at = NULL,
        dead_at = NULL,
        parked_at = NULL,
        postponed_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        published_at = NULL,
        next_attempt_at = now()
    WHERE id = ANY (ARRAY(
        SELECT id
        FROM webhook_logs
        WHERE stripe_event_id = ANY ($1::text[]) AND processed IS NOT FALSE AND body IS NOT NULL
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING stripe_event_id
), noted AS (
    INSERT INTO error_logs (severity, kind, message, stripe_event_id, service, resolved, resolved_at)
    SELECT 'info', 'webhook', format('Replayed by %s: %s', $2::text, $3::text), stripe_event_id, 'operator', true, now()
    FROM changed
)
SELECT stripe_event_id FROM changed;

-- write_off --
-- $1 stripe_event_ids  $2 who  $3 why. Dead rows need no effect any more. dead_at and last_error stay; the rest as in retry.
WITH changed AS (
    UPDATE webhook_logs
    SET processed = true,
        processed_at = now(),
        outcome = 'written_off'
    WHERE id = ANY (ARRAY(
        SELECT id
        FROM webhook_logs
        WHERE stripe_event_id = ANY ($1::text[]) AND NOT processed AND dead_at IS NOT NULL
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING stripe_event_id
), noted AS (
    INSERT INTO error_logs (severity, kind, message, stripe_event_id, service, resolved, resolved_at)
    SELECT 'info', 'webhook', format('Written off by %s: %s', $2::text, $3::text), stripe_event_id, 'operator', true, now()
    FROM changed
)
SELECT stripe_event_id FROM changed;
