-- read_open --
-- $1 handlers that this processor has. Operations that run one of them and may go on: not while all is paused, or the handler.
SELECT o.id, o.handler, o.rate
FROM operation AS o
WHERE o.handler = ANY ($1::text[]) AND o.ended_at IS NULL AND o.cancelled_at IS NULL
  AND NOT EXISTS (
      SELECT
      FROM pause AS p
      WHERE p.ended_at IS NULL AND p.emptied_at IS NULL AND (p.kind = 'all' OR (p.kind = 'handler' AND p.value = o.handler))
  )
ORDER BY o.id;

-- take --
-- $1 operation  $2 after which position  $3 at most. Items that are not done, and how many runs of each began and did not
-- end.
SELECT i.position, i.item_id, coalesce(s.starts, 0) AS starts
FROM operation_item AS i
LEFT JOIN operation_start AS s ON s.operation_id = i.operation_id AND s.position = i.position
WHERE i.operation_id = $1 AND i.position > $2 AND i.done_at IS NULL
ORDER BY i.position
LIMIT $3;

-- begin --
-- $1 operation  $2 positions. Commit that these begin, as far as they are not done: should they end this process, they run
-- alone next time.
INSERT INTO operation_start AS s (operation_id, position)
SELECT mine.operation_id, mine.position
FROM (
    SELECT i.operation_id, i.position
    FROM operation_item AS i
    WHERE i.operation_id = $1 AND i.position = ANY ($2::bigint[]) AND i.done_at IS NULL
    ORDER BY i.position
    FOR UPDATE SKIP LOCKED
) AS mine
ON CONFLICT (operation_id, position) DO UPDATE SET starts = s.starts + 1;

-- may_go_on --
-- $1 operation. Keeps it from being cancelled until the transaction ends; no row: it is over.
SELECT id FROM operation WHERE id = $1 AND ended_at IS NULL AND cancelled_at IS NULL FOR SHARE;

-- hold --
-- $1 operation  $2 positions. Locks the items that are not done, and gives them.
SELECT i.position, i.item_id
FROM operation_item AS i
WHERE i.operation_id = $1 AND i.position = ANY ($2::bigint[]) AND i.done_at IS NULL
ORDER BY i.position
FOR UPDATE SKIP LOCKED;

-- note --
-- $1 operation  $2 item_ids  $3 results  $4 before  $5 after. Fate of each, and an end of their run.
WITH noted AS (
    UPDATE operation_item AS i
    SET done_at = now(),
        result = n.result,
        before = n.before::jsonb,
        after = n.after::jsonb
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS n (item_id, result, before, after)
    WHERE i.operation_id = $1 AND i.item_id = n.item_id AND i.done_at IS NULL
    RETURNING i.position
)
DELETE FROM operation_start AS s
USING noted
WHERE s.operation_id = $1 AND s.position = noted.position;

-- forget_starts --
-- $1 operation  $2 positions. Their run ended without a result, and this process lives.
DELETE FROM operation_start WHERE operation_id = $1 AND position = ANY ($2::bigint[]);

-- end --
-- $1 operation. It has ended when no item is left.
UPDATE operation
SET ended_at = now()
WHERE id = $1 AND ended_at IS NULL AND cancelled_at IS NULL
  AND NOT EXISTS (SELECT FROM operation_item WHERE operation_id = $1 AND done_at IS NULL)
RETURNING id;
