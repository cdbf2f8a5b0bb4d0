-- errors_of --
-- $1 stripe_event_id. The newest errors of a webhook, without the notes of operations.
SELECT id::text AS id, severity::text AS severity, message::text AS message, resolved, created_at::timestamptz AS created_at
FROM error_logs
WHERE coalesce(stripe_event_id, event_id) = $1 AND stripe_event_id = $1 AND service IS DISTINCT FROM 'operator'
ORDER BY created_at DESC
LIMIT 50;

-- error --
-- $1 id of an error row, as text. All of it.
SELECT
    id::text AS id, severity::text AS severity, message::text AS message, resolved, created_at::timestamptz AS created_at,
    kind::text AS kind, service::text AS service, stripe_event_id::text AS stripe_event_id,
    resolved_at::timestamptz AS resolved_at, to_jsonb(request_data)::text AS request_data, stack_trace::text AS stack_trace
FROM error_logs
WHERE id::text = $1;

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
