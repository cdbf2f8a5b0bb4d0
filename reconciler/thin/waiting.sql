-- due --
-- $1 rows at most. Thin events whose next try is due, those that wait longest first.
SELECT waiting.stripe_event_id, waiting.tries, log.body
FROM thin_fetch AS waiting
JOIN webhook_logs AS log ON log.stripe_event_id = waiting.stripe_event_id
WHERE waiting.next_try_at <= now()
ORDER BY waiting.next_try_at
LIMIT $1;

-- wait --
-- $1 stripe_event_id  $2 seconds until the next try  $3 why this one gave nothing.
UPDATE thin_fetch
SET tries = tries + 1, next_try_at = now() + $2::float8 * interval '1 second', problem = $3
WHERE stripe_event_id = $1;
