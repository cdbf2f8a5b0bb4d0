-- find_processed --
-- $1 stripe_event_ids as webhook_logs has them.
SELECT stripe_event_id FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[]) AND processed;
