-- record_new --
-- One statement, one commit, for all webhooks that waited, each id once. They come sorted by id; the arrays are:
-- $1 stripe_event_id, $2 webhook_type, $3 created (Unix seconds), $4 livemode, $5 stripe_account_id, $6 api_version,
-- $7 object_id, $8 tenant, $9 verified_by, $10 body. $11 whether the caller publishes them itself, else the relay's next
-- sweep does. Gives the ids of those that are in the log now and were not before; the others are left as they are.
--
-- What is in the log already is left out before the INSERT, because ON CONFLICT would wait for a processor that is
-- updating such a row. A subquery of its own for each keeps that an index look-up, whatever the planner believes.
INSERT INTO webhook_logs (
    stripe_event_id, webhook_type, stripe_created_at, livemode, stripe_account_id, api_version, object_id, tenant,
    verified_by, body, next_attempt_at, published_at, publications
)
SELECT
    stripe_event_id, webhook_type, to_timestamp(created), livemode, stripe_account_id, api_version, object_id,
    tenant, verified_by, body, CASE WHEN $11 THEN now() + interval '5 seconds' ELSE now() END,
    CASE WHEN $11 THEN now() END, CASE WHEN $11 THEN 1 ELSE 0 END
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bytea[]
) AS webhook (
    stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant, verified_by,
    body
)
WHERE (SELECT log.id FROM webhook_logs AS log WHERE log.stripe_event_id = webhook.stripe_event_id) IS NULL
ON CONFLICT (stripe_event_id) DO NOTHING
RETURNING stripe_event_id;
