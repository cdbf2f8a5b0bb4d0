-- record_failure --
-- $1 stripe_event_id  $2 attempt that failed  $3 what went wrong  $4 seconds until the next attempt
-- $5 whether it was the last attempt  $6 patience in seconds  $7 starts alone that stay on record.
-- No row returned: it is over, paused, or on record already.
-- An event that was ever parked lives by its patience, however often it looked for its row.
UPDATE webhook_logs
SET processing_attempts = processing_attempts + 1,
    last_error = $3,
    outcome = 'failed',
    published_at = NULL,
    postponed_at = NULL,
    solo_starts = $7,
    next_attempt_at = now() + $4::float8 * interval '1 second',
    dead_at = CASE WHEN CASE WHEN parked_at IS NULL THEN $5::boolean
                             ELSE parked_at <= now() - $6::float8 * interval '1 second' END THEN now() END
WHERE stripe_event_id = $1
  AND processing_attempts = $2
  AND NOT processed
  AND dead_at IS NULL
  AND coalesce(published_at, next_attempt_at) < 'infinity'
RETURNING dead_at IS NOT NULL AS is_dead;

-- dead_letter --
-- $1 stripe_event_id  $2 attempt  $3 why no other attempt can succeed.
UPDATE webhook_logs
SET processing_attempts = processing_attempts + 1,
    last_error = $3,
    outcome = 'failed',
    published_at = NULL,
    solo_starts = 0,
    dead_at = now()
WHERE stripe_event_id = $1
  AND processing_attempts = $2
  AND NOT processed
  AND dead_at IS NULL
  AND coalesce(published_at, next_attempt_at) < 'infinity'
RETURNING true AS is_dead;

-- postpone --
-- $1 stripe_event_id  $2 attempt  $3 what stood in the way  $4 seconds for which it may. Nothing failed, so no attempt is
-- counted: the relay brings the event back. No row returned: it is over, or on record already. See
-- migrations/functions/sluice_postpone_webhook.sql.
SELECT is_first, is_dead, postponed_since FROM sluice_postpone_webhook($1, $2, $3, $4);

-- defer --
-- $1 stripe_event_ids  $2 the attempt of each. These wait for their turn: the relay brings each back, a little later every
-- time. Nothing failed, and last_error stays as it is.
UPDATE webhook_logs AS w
SET published_at = NULL,
    next_attempt_at = now() + (0.85 + 0.3 * random())
        * least(interval '5 minutes', interval '2 seconds' * 2 ^ least(w.publications, 8))
FROM unnest($1::text[], $2::integer[]) AS deferred (stripe_event_id, attempt)
WHERE w.stripe_event_id = ANY (ARRAY[deferred.stripe_event_id])
  AND w.processing_attempts = deferred.attempt
  AND NOT w.processed
  AND w.dead_at IS NULL
  AND (w.published_at IS NOT NULL OR w.next_attempt_at <= now());
