-- Gives the ids of the rows that it filled. What somebody holds is left out, for a batch waits for nobody.
CREATE OR REPLACE FUNCTION sluice_fill_webhooks(
    stripe_event_ids text[], webhook_types text[], created bigint[], livemodes boolean[], stripe_account_ids text[],
    api_versions text[], object_ids text[], tenants text[], verified_bys text[], bodies bytea[]
) RETURNS SETOF text
    LANGUAGE sql SECURITY DEFINER AS $function$
    UPDATE webhook_logs AS log
    SET webhook_type = webhook.webhook_type,
        stripe_created_at = to_timestamp(webhook.created),
        livemode = webhook.livemode,
        stripe_account_id = webhook.stripe_account_id,
        api_version = webhook.api_version,
        object_id = webhook.object_id,
        tenant = webhook.tenant,
        verified_by = webhook.verified_by,
        body = webhook.body,
        next_attempt_at = now(),
        published_at = NULL
    FROM unnest(
        stripe_event_ids, webhook_types, created, livemodes, stripe_account_ids, api_versions, object_ids, tenants,
        verified_bys, bodies
    ) AS webhook (
        stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant,
        verified_by, body
    )
    WHERE log.stripe_event_id = webhook.stripe_event_id
        AND webhook.body IS NOT NULL
        AND log.id = ANY (ARRAY(
            SELECT id
            FROM webhook_logs
            WHERE stripe_event_id = ANY (stripe_event_ids) AND body IS NULL AND body_id IS NULL
                AND NOT processed AND dead_at IS NULL
            FOR UPDATE SKIP LOCKED
        ))
    RETURNING log.stripe_event_id
$function$;
