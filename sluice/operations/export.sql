-- place_of --
-- $1 stripe_event_id. Its place in the order of receipt.
SELECT created_at::timestamptz AS created_at, id::text AS id FROM webhook_logs WHERE stripe_event_id = $1;
