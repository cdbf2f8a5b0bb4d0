-- look_back --
-- $1 until; NULL: now  $2 rows. When the webhook came that has so many between itself and then; none: there are fewer.
SELECT created_at::timestamptz AS created_at
FROM webhook_logs
WHERE $1::timestamptz IS NULL OR created_at <= $1
ORDER BY created_at DESC
LIMIT 1
OFFSET $2;
