-- look_back --
-- $1 until; NULL: now  $2 rows. When the error came that has so many between itself and then; none: there are fewer.
SELECT created_at::timestamptz AS created_at
FROM error_logs
WHERE $1::timestamptz IS NULL OR created_at <= $1
ORDER BY created_at DESC
LIMIT 1
OFFSET $2;

-- look_back_unresolved --
-- The same among those that are unresolved.
SELECT created_at::timestamptz AS created_at
FROM error_logs
WHERE NOT resolved AND ($1::timestamptz IS NULL OR created_at <= $1)
ORDER BY created_at DESC
LIMIT 1
OFFSET $2;

-- id_type --
-- An earlier application's table keeps the type of its ids.
SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'error_logs'::regclass AND attname = 'id';

-- notes --
-- $1 ids of error rows. Operations that resolved them, or took that back.
SELECT i.item_id, i.operation_id, o.verb, o.person, o.reason, i.done_at
FROM operation_item AS i
JOIN operation AS o ON o.id = i.operation_id
LEFT JOIN operation AS u ON u.id = o.undoes
WHERE i.item_id = ANY ($1::text[]) AND i.result = 'changed' AND 'resolve' IN (o.verb, coalesce(u.verb, ''))
ORDER BY i.operation_id;
