-- newest --
-- $1 older than this number; NULL: from the newest on  $2 at most  $3 the most open items to count. Positions are 1, 2, 3 …, so
-- the last one is the number of items, whatever that is.
SELECT
    o.id, o.verb, o.handler, o.filter::text AS filter, o.reason, o.person, o.login, o.rate, o.undoes,
    (SELECT u.verb FROM operation AS u WHERE u.id = o.undoes) AS undone_verb, o.started_at,
    o.ended_at, o.cancelled_at, o.cancelled_by,
    coalesce(
        (SELECT i.position FROM operation_item AS i WHERE i.operation_id = o.id ORDER BY i.position DESC LIMIT 1), 0
    ) AS items,
    (
        SELECT count(*)
        FROM (SELECT FROM operation_item AS i WHERE i.operation_id = o.id AND i.done_at IS NULL LIMIT $3) AS counted
    ) AS open_counted,
    first_open.position AS first_open,
    (
        SELECT i.done_at
        FROM operation_item AS i
        WHERE i.operation_id = o.id AND (first_open.position IS NULL OR i.position < first_open.position)
        ORDER BY i.position DESC
        LIMIT 1
    ) AS latest_at
FROM operation AS o
LEFT JOIN LATERAL (
    SELECT i.position
    FROM operation_item AS i
    WHERE i.operation_id = o.id AND i.done_at IS NULL
    ORDER BY i.position
    LIMIT 1
) AS first_open ON true
WHERE $1::bigint IS NULL OR o.id < $1
ORDER BY o.id DESC
LIMIT $2;

-- running --
-- $1 how many of the newest to look through  $2 at most. Numbers of those that may still go on.
SELECT id
FROM (SELECT id, ended_at, cancelled_at FROM operation ORDER BY id DESC LIMIT $1) AS recent
WHERE ended_at IS NULL AND cancelled_at IS NULL
ORDER BY id DESC
LIMIT $2;

-- undone_by --
-- $1 operation  $2 how many of the newest to look through. Numbers of the operations that undo it.
SELECT id
FROM (SELECT id, undoes FROM operation ORDER BY id DESC LIMIT $2) AS recent
WHERE undoes = $1
ORDER BY id;
