-- claim --
-- $1 stripe_event_ids  $2 the attempt of each message  $3 ids that came without body  $4 whether this is a run alone
-- $5 statement timeout  $6 lock timeout  $7 idle timeout, in milliseconds.
-- Locks the rows whose turn it is, in the order of their ids; skips what another processor holds. The limits hold for
-- this transaction alone, behind a pooler too. A run alone needs its start committed; a suspect never runs in company.
-- The commit waits for no disk: should PostgreSQL crash, effect and processed = true go together, and the relay sends the
-- webhook again.
WITH limits AS MATERIALIZED (
    SELECT set_config('statement_timeout', $5, true) AS a,
           set_config('lock_timeout', $6, true) AS b,
           set_config('idle_in_transaction_session_timeout', $7, true) AS c,
           set_config('synchronous_commit', 'off', true) AS d
), message AS (
    SELECT * FROM unnest($1::text[], $2::integer[]) AS message (stripe_event_id, attempt)
)
SELECT w.stripe_event_id,
       CASE WHEN w.stripe_event_id = ANY ($3::text[]) THEN w.body END AS body
FROM limits, message
JOIN webhook_logs w ON w.stripe_event_id = message.stripe_event_id
WHERE NOT w.processed
  AND w.dead_at IS NULL
  AND w.processing_attempts = message.attempt
  AND (w.solo_starts > 0) = $4
ORDER BY w.stripe_event_id
FOR UPDATE OF w SKIP LOCKED;

-- look --
-- $1 stripe_event_ids that could not be claimed. What their rows say instead; no row: PostgreSQL never heard of it.
SELECT stripe_event_id,
       processed OR dead_at IS NOT NULL AS is_over,
       processing_attempts,
       solo_starts
FROM webhook_logs
WHERE stripe_event_id = ANY ($1::text[]);

-- settle_processed --
-- $1 stripe_event_ids  $2 outcome of each. The last statement before the commit that makes the effects true.
UPDATE webhook_logs w
SET processed = true,
    processed_at = clock_timestamp(),
    outcome = settled.outcome,
    published_at = NULL,
    solo_starts = 0
FROM unnest($1::text[], $2::text[]) AS settled (stripe_event_id, outcome)
WHERE w.stripe_event_id = settled.stripe_event_id
RETURNING w.stripe_event_id, extract(epoch FROM clock_timestamp() - w.created_at)::float8 AS delay_seconds;

-- settle_parked --
-- $1 stripe_event_ids  $2 why  $3 seconds until the next look  $4 patience in seconds.
-- The facts that the handler wrote commit; the event comes back until its row appears or patience ends.
UPDATE webhook_logs w
SET outcome = 'parked',
    parked_at = coalesce(w.parked_at, now()),
    last_error = parked.reason,
    processing_attempts = w.processing_attempts + 1,
    published_at = NULL,
    solo_starts = 0,
    next_attempt_at = now() + parked.delay_seconds * interval '1 second',
    dead_at = CASE WHEN coalesce(w.parked_at, now()) <= now() - $4 * interval '1 second' THEN now() END
FROM unnest($1::text[], $2::text[], $3::float8[]) AS parked (stripe_event_id, reason, delay_seconds)
WHERE w.stripe_event_id = parked.stripe_event_id
RETURNING w.stripe_event_id, w.dead_at IS NOT NULL AS is_dead;

-- settle_unsupported --
-- $1 stripe_event_ids  $2 why. Dead at once, and visibly so.
UPDATE webhook_logs w
SET outcome = 'unsupported',
    last_error = unsupported.reason,
    processing_attempts = w.processing_attempts + 1,
    published_at = NULL,
    solo_starts = 0,
    dead_at = now()
FROM unnest($1::text[], $2::text[]) AS unsupported (stripe_event_id, reason)
WHERE w.stripe_event_id = unsupported.stripe_event_id
RETURNING w.stripe_event_id, true AS is_dead;
