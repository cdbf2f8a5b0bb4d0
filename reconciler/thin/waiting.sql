-- due --
-- $1 rows at most. Thin events whose next try is due, those that wait longest first.
WITH log AS MATERIALIZED (
    SELECT waiting.stripe_event_id, waiting.tries, waiting.next_try_at, w.body, w.body_id
    FROM thin_fetch AS waiting
    JOIN webhook_logs AS w ON w.stripe_event_id = waiting.stripe_event_id
    WHERE waiting.next_try_at <= now()
    ORDER BY waiting.next_try_at
    LIMIT $1
)
SELECT log.stripe_event_id, log.tries, coalesce(log.body, stored.body) AS body
FROM log
LEFT JOIN sluice_bodies(ARRAY(SELECT body_id FROM log WHERE body_id IS NOT NULL)) AS stored ON stored.id = log.body_id
ORDER BY log.next_try_at;

-- wait --
-- $1 stripe_event_id  $2 seconds until the next try  $3 why this one gave nothing.
UPDATE thin_fetch
SET tries = tries + 1, next_try_at = now() + $2::float8 * interval '1 second', problem = $3
WHERE stripe_event_id = $1;
