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
  AND w.dead_at IS NULL;
