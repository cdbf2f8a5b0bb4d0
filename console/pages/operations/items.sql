-- items_of --
-- $1 operation  $2 after this position  $3 to this position  $4 result; NULL: any  $5 at most.
SELECT position, item_id, done_at, result, before::text AS before, after::text AS after
FROM operation_item
WHERE operation_id = $1 AND position > $2 AND position <= $3 AND ($4::text IS NULL OR result = $4)
ORDER BY position
LIMIT $5;

-- open_items_of --
-- $1 operation  $2 after this position  $3 at most. Those whose turn has not come.
SELECT position, item_id, done_at, result, before::text AS before, after::text AS after
FROM operation_item
WHERE operation_id = $1 AND position > $2 AND done_at IS NULL
ORDER BY position
LIMIT $3;

-- count_results --
-- $1 operation  $2 to this position. What became of the items.
SELECT result, count(*) AS count
FROM operation_item
WHERE operation_id = $1 AND position <= $2 AND result IS NOT NULL
GROUP BY result
ORDER BY count DESC, result ASC;
