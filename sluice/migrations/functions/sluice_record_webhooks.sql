-- Puts webhooks into the log that are not there, each body into its own row of webhook_body, or into webhook_logs on a day
-- without a partition. Gives the ids of those that are new; the others are as they were. The arrays come sorted by id, each
-- id once.
--   is_published: whether the caller publishes them itself; else the relay's next sweep does.
--
-- What is in the log already is left out before the INSERT, because ON CONFLICT would wait for a processor that is
-- updating such a row. A body is stored once its row is; CASE keeps that one look-up in a hash table for each.
CREATE OR REPLACE FUNCTION sluice_record_webhooks(
    stripe_event_ids text[], webhook_types text[], created bigint[], livemodes boolean[], stripe_account_ids text[],
    api_versions text[], object_ids text[], tenants text[], verified_bys text[], bodies bytea[], is_published boolean
) RETURNS TABLE (stripe_event_id text)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    first_id bigint := (SELECT to_char(today, 'YYYYMMDD')::bigint * 10000000000 FROM body_storage
                        WHERE today >= partitions_from AND today < partitions_until);  -- NULL: no partition
BEGIN
    RETURN QUERY
    WITH incoming AS MATERIALIZED (
        SELECT webhook.*, first_id + nextval('webhook_body_id_seq') % 10000000000 AS body_id
        FROM unnest(
            stripe_event_ids, webhook_types, created, livemodes, stripe_account_ids, api_versions, object_ids, tenants,
            verified_bys, bodies
        ) AS webhook (
            stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant,
            verified_by, body
        )
        WHERE (SELECT log.id FROM webhook_logs AS log WHERE log.stripe_event_id = webhook.stripe_event_id) IS NULL
    ), recorded AS (
        INSERT INTO webhook_logs AS log (
            stripe_event_id, webhook_type, stripe_created_at, livemode, stripe_account_id, api_version, object_id, tenant,
            verified_by, body, body_id, body_bytes, next_attempt_at, published_at, publications
        )
        SELECT
            incoming.stripe_event_id, incoming.webhook_type, to_timestamp(incoming.created), incoming.livemode,
            incoming.stripe_account_id, incoming.api_version, incoming.object_id, incoming.tenant, incoming.verified_by,
            CASE WHEN incoming.body_id IS NULL THEN incoming.body END, incoming.body_id, octet_length(incoming.body),
            CASE WHEN is_published THEN now() + interval '5 seconds' ELSE now() END,
            CASE WHEN is_published THEN now() END, CASE WHEN is_published THEN 1 ELSE 0 END
        FROM incoming
        ON CONFLICT (stripe_event_id) DO NOTHING
        RETURNING log.stripe_event_id::text, log.body_id
    ), stored AS (
        INSERT INTO webhook_body (id, body)
        SELECT incoming.body_id, incoming.body
        FROM incoming
        WHERE CASE WHEN incoming.body_id IN (SELECT recorded.body_id FROM recorded) THEN true ELSE false END
    )
    SELECT recorded.stripe_event_id FROM recorded;
END
$function$;
