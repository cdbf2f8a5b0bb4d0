-- hold --
-- $1 stripe_event_ids. Locks the rows that no other transaction holds, and gives them.
SELECT stripe_event_id FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[]) ORDER BY id FOR UPDATE SKIP LOCKED;

-- retry --
-- $1 stripe_event_ids, locked. The transition that an operator's retry makes; what was changed. So below.
SELECT one AS stripe_event_id FROM sluice_retry_webhooks($1::text[]) AS one;

-- replay --
-- $1 stripe_event_ids, locked. Of dead rows.
SELECT one AS stripe_event_id FROM sluice_replay_webhooks($1::text[]) AS one;

-- replay_ended --
-- $1 stripe_event_ids, locked. Of rows that are over.
SELECT one AS stripe_event_id FROM sluice_replay_ended_webhooks($1::text[]) AS one;
