-- errors_of --
-- $1 stripe_event_id. The newest errors of a webhook.
SELECT id::text AS id, severity::text AS severity, message::text AS message, resolved, created_at::timestamptz AS created_at
FROM error_logs
WHERE coalesce(stripe_event_id, event_id) = $1 AND stripe_event_id = $1
ORDER BY created_at DESC
LIMIT 50;

-- operations_of --
-- $1 stripe_event_id. Operations that it was an item of, in their order.
SELECT o.id AS operation_id, o.verb, o.person, o.reason, o.started_at, i.done_at, i.result
FROM operation_item AS i
JOIN operation AS o ON o.id = i.operation_id
WHERE i.item_id = $1 AND o.verb <> 'resolve'
ORDER BY o.id;

-- count_repeats --
-- $1 stripe_event_id. Deliveries after the first.
SELECT count(*) FROM webhook_delivery WHERE stripe_event_id = $1;
