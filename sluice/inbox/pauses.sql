-- look --
-- Pauses in force, and those that ended and may hold webhooks yet.
SELECT id, kind, value, ended_at IS NOT NULL AS is_over FROM pause WHERE emptied_at IS NULL ORDER BY id;

-- set_aside --
-- $1 stripe_event_ids  $2 the attempt of each message  $3 webhook_types  $4 stripe_account_ids  $5 tenants  $6 the pause of
-- each. See migrations/functions/sluice_pause_webhooks.sql.
SELECT stripe_event_id, is_paused
FROM sluice_pause_webhooks($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[]);

-- may_let_go --
-- Whether no other processor lets webhooks go at this moment; until the transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended('sluice resume', 0)) AS is_first;

-- take --
-- $1 pauses that have ended  $2 the place after which to look  $3 webhooks at most.
SELECT h.stripe_event_id, h.position, log.webhook_type, log.tenant, log.stripe_account_id
FROM (
    SELECT stripe_event_id, position
    FROM paused_webhook
    WHERE pause_id = ANY ($1::bigint[]) AND position > $2
    ORDER BY position
    LIMIT $3
) AS h
LEFT JOIN LATERAL (
    SELECT webhook_type, tenant, stripe_account_id
    FROM webhook_logs
    WHERE stripe_event_id = h.stripe_event_id
    LIMIT 1
) AS log ON true
ORDER BY h.position;

-- let_go --
-- $1 stripe_event_ids  $2 the other pause that covers each, or NULL. How many are due now. See
-- migrations/functions/sluice_resume_webhooks.sql.
SELECT sluice_resume_webhooks($1::text[], $2::bigint[]) AS let_go;
