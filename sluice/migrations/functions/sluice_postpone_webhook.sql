-- Brings an event back later, each time a little later, or ends it when it has been postponed for too long. It starts
-- afresh when somebody replays it. No row returned: it is over, or on record already.
CREATE OR REPLACE FUNCTION sluice_postpone_webhook(
    event_id text, attempt integer, reason text, patience_seconds double precision
) RETURNS TABLE (is_first boolean, is_dead boolean, postponed_since timestamptz)
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs AS w
    SET last_error = CASE WHEN before.is_over
            THEN left('given up after ' || date_trunc('second', now() - before.postponed_at) || ', ' || reason, 500)
            ELSE reason
        END,
        outcome = CASE WHEN before.is_over THEN 'failed' ELSE w.outcome END,
        processing_attempts = w.processing_attempts + before.is_over::integer,
        published_at = NULL,
        solo_starts = 0,
        next_attempt_at = now() + (0.85 + 0.3 * random())
            * least(interval '5 minutes', interval '2 seconds' * 2 ^ least(w.publications, 8)),
        postponed_at = CASE WHEN NOT before.is_over THEN coalesce(before.postponed_at, now()) END,
        dead_at = CASE WHEN before.is_over THEN now() END
    FROM (
        SELECT log.id, log.postponed_at,
               coalesce(log.postponed_at <= now() - patience_seconds * interval '1 second', false) AS is_over
        FROM webhook_logs AS log
        WHERE log.stripe_event_id = event_id
          AND log.processing_attempts = attempt
          AND NOT log.processed
          AND log.dead_at IS NULL
          AND coalesce(log.published_at, log.next_attempt_at) < 'infinity'
        FOR UPDATE
    ) AS before
    WHERE w.id = before.id
    RETURNING before.postponed_at IS NULL, before.is_over, coalesce(before.postponed_at, now())
$function$;
