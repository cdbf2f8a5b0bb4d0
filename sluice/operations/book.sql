-- start --
-- $1 verb  $2 filter  $3 why  $4 who  $5 items a second  $6 the handler that it runs alone. The login and the time are
-- PostgreSQL's own.
INSERT INTO operation (verb, filter, reason, person, rate, handler)
VALUES ($1, $2::text::jsonb, $3, $4, $5, $6)
RETURNING id;

-- newest --
-- $1 at most. Operations with what became of their items.
SELECT
    o.id, o.verb, o.handler, o.filter, o.reason, o.person, o.login, o.rate, o.started_at, o.ended_at, o.cancelled_at,
    o.cancelled_by, i.items, i.done, i.changed, i.failed, i.latest_at
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
    o.cancelled_by, i.items, i.done, i.changed, i.failed, i.latest_at
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
UPDATE operation
SET cancelled_at = now(),
    cancelled_by = $2
WHERE id = $1 AND cancelled_at IS NULL AND ended_at IS NULL
RETURNING id;

-- open --
-- $1 operation. Gives it while it may go on, and keeps it from being cancelled until the transaction ends. What a handler
-- does is the processor's to do.
SELECT verb, filter, reason, person, rate
FROM operation
WHERE id = $1 AND handler IS NULL AND ended_at IS NULL AND cancelled_at IS NULL
FOR SHARE;

-- take --
-- $1 operation  $2 after which position  $3 at most. Items whose turn it is; another runner takes others.
SELECT position, item_id
FROM operation_item
WHERE operation_id = $1 AND position > $2 AND done_at IS NULL
ORDER BY position
LIMIT $3
FOR UPDATE SKIP LOCKED;

-- note --
-- $1 operation  $2 item_ids  $3 results  $4 before  $5 after. What became of each.
UPDATE operation_item AS i
SET done_at = now(),
    result = n.result,
    before = n.before::jsonb,
    after = n.after::jsonb
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS n (item_id, result, before, after)
WHERE i.operation_id = $1 AND i.item_id = n.item_id AND i.done_at IS NULL;

-- end --
-- $1 operation. It has ended when no item is left.
UPDATE operation
SET ended_at = now()
WHERE id = $1 AND ended_at IS NULL AND cancelled_at IS NULL
  AND NOT EXISTS (SELECT FROM operation_item WHERE operation_id = $1 AND done_at IS NULL)
RETURNING id;
