-- start --
-- $1 verb  $2 filter  $3 why  $4 who  $5 items a second  $6 the handler that it runs alone  $7 operation that it undoes. The
-- login and the time are PostgreSQL's own.
INSERT INTO operation (verb, filter, reason, person, rate, handler, undoes)
VALUES ($1, $2::text::jsonb, $3, $4, $5, $6, $7)
RETURNING id;

-- freeze_changed --
-- $1 operation  $2 the one that it undoes. What that one changed, in the same order.
INSERT INTO operation_item (operation_id, position, item_id)
SELECT $1, row_number() OVER (ORDER BY position), item_id
FROM operation_item
WHERE operation_id = $2 AND result = 'changed';

-- newest --
-- $1 at most. Operations with what became of their items.
SELECT
    o.id, o.verb, o.handler, o.filter, o.reason, o.person, o.login, o.rate, o.started_at, o.ended_at, o.cancelled_at,
    o.cancelled_by, o.undoes, ARRAY(SELECT u.id FROM operation AS u WHERE u.undoes = o.id ORDER BY u.id) AS undone_by,
    i.items, i.done, i.changed, i.failed, i.latest_at
FROM (SELECT * FROM operation ORDER BY id DESC LIMIT $1) AS o
CROSS JOIN LATERAL (
    SELECT
        count(*) AS items, count(done_at) AS done, count(*) FILTER (WHERE result = 'changed') AS changed,
        count(*) FILTER (WHERE result = 'failed') AS failed, max(done_at) AS latest_at
    FROM operation_item
    WHERE operation_id = o.id
) AS i
ORDER BY o.id DESC;

-- read --
-- $1 operation. The same of one.
SELECT
    o.id, o.verb, o.handler, o.filter, o.reason, o.person, o.login, o.rate, o.started_at, o.ended_at, o.cancelled_at,
    o.cancelled_by, o.undoes, ARRAY(SELECT u.id FROM operation AS u WHERE u.undoes = o.id ORDER BY u.id) AS undone_by,
    i.items, i.done, i.changed, i.failed, i.latest_at
FROM operation AS o
CROSS JOIN LATERAL (
    SELECT
        count(*) AS items, count(done_at) AS done, count(*) FILTER (WHERE result = 'changed') AS changed,
        count(*) FILTER (WHERE result = 'failed') AS failed, max(done_at) AS latest_at
    FROM operation_item
    WHERE operation_id = o.id
) AS i
WHERE o.id = $1;

-- items_of --
-- $1 operation  $2 at most.
SELECT item_id, done_at, result, before, after FROM operation_item WHERE operation_id = $1 ORDER BY position LIMIT $2;

-- cancel --
-- $1 operation  $2 who. Waits for the batch that is under way; none begins afterwards.
SELECT sluice_cancel_operation($1, $2);

-- rate --
-- $1 operation. Items a second at most.
SELECT rate FROM operation WHERE id = $1;

-- end --
-- $1 operation. It has ended when no item is left.
SELECT sluice_end_operation($1);
