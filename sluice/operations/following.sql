-- now --
-- PostgreSQL's clock.
SELECT now();

-- open_operations --
-- The newest operation, and those that are open.
SELECT
    coalesce(max(id), 0) AS newest,
    coalesce(array_agg(id) FILTER (WHERE ended_at IS NULL AND cancelled_at IS NULL), '{}') AS open
FROM operation;

-- operations --
-- $1 the newest that was seen  $2 others that may have changed. How far each is by the place of its first open item, for to
-- count its items would cost more with each of them.
SELECT
    o.id, o.verb, o.person, o.reason, o.ended_at, o.cancelled_at, coalesce(newest.position, 0) AS items,
    first_open.position AS first_open
FROM operation AS o
LEFT JOIN LATERAL (
    SELECT position FROM operation_item WHERE operation_id = o.id ORDER BY position DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT position FROM operation_item WHERE operation_id = o.id AND done_at IS NULL ORDER BY position LIMIT 1
) AS first_open ON true
WHERE o.id > $1 OR o.id = ANY ($2::bigint[])
ORDER BY o.id
LIMIT 100;
