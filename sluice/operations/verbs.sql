-- hold_webhooks --
-- $1 stripe_event_ids. Locks the rows that no other transaction holds until the transaction ends.
SELECT stripe_event_id AS item_id FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[]) FOR UPDATE SKIP LOCKED;

-- hold_errors --
-- $1 ids of error rows. The same for error_logs.
SELECT id::text AS item_id FROM error_logs WHERE id::text = ANY ($1::text[]) FOR UPDATE SKIP LOCKED;

-- look_at_errors --
-- $1 ids of error rows. Gives what an operation keeps of them.
SELECT
    id::text AS item_id,
    jsonb_build_object('state', CASE WHEN resolved THEN 'resolved' ELSE 'unresolved' END, 'severity', severity) AS told
FROM error_logs
WHERE id::text = ANY ($1::text[]);

-- resolve --
-- $1 ids of error rows. Marks those that are unresolved.
UPDATE error_logs
SET resolved = true,
    resolved_at = now()
WHERE id::text = ANY ($1::text[]) AND NOT resolved
RETURNING id::text AS item_id;

-- resolve_errors_of --
-- $1 stripe_event_ids. Marks what is unresolved of these webhooks.
UPDATE error_logs
SET resolved = true,
    resolved_at = now()
WHERE coalesce(stripe_event_id, event_id) = ANY ($1::text[]) AND stripe_event_id IS NOT NULL AND NOT resolved;
