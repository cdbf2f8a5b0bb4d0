-- ingest may fill a row that an earlier application left without a body, and change no body that is there.
--   psql "$DATABASE_URL" -f migrations/sprint2_ingest_rights.sql      after the foundation, each time that is run
-- One transaction, safe to run again. Until now ingest could write those columns of every row.
BEGIN;

DO $filling$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    arrays text := 'text[], text[], bigint[], boolean[], text[], text[], text[], text[], text[], bytea[]';
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    -- Gives the ids of the rows that it filled. What somebody holds is left out, for a batch waits for nobody.
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_fill_webhooks(
    stripe_event_ids text[], webhook_types text[], created bigint[], livemodes boolean[], stripe_account_ids text[],
    api_versions text[], object_ids text[], tenants text[], verified_bys text[], bodies bytea[]
) RETURNS SETOF text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, %I, pg_temp AS $function$
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
            WHERE stripe_event_id = ANY (stripe_event_ids) AND body IS NULL AND NOT processed AND dead_at IS NULL
            FOR UPDATE SKIP LOCKED
        ))
    RETURNING log.stripe_event_id
$function$
    $create$, current_schema());

    -- It has the rights of the table's owner, and so have the table's triggers: nobody else's, should a superuser run this.
    IF owner <> current_user::regrole THEN
        BEGIN
            EXECUTE format('ALTER FUNCTION sluice_fill_webhooks(%s) OWNER TO %s', arrays, owner);
        EXCEPTION WHEN insufficient_privilege THEN NULL;  -- whoever may alter the table has the owner's rights already
        END;
    END IF;

    FOR item IN SELECT 'PUBLIC' AS grantee UNION ALL
                SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION sluice_fill_webhooks(%s) FROM %s', arrays, item.grantee);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_ingest') THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION sluice_fill_webhooks(%s) TO sluice_ingest', arrays);
        REVOKE UPDATE (webhook_type, stripe_account_id, livemode, api_version, object_id, stripe_created_at, tenant, body,
                       verified_by) ON webhook_logs FROM sluice_ingest;
    ELSE
        RAISE WARNING 'The role sluice_ingest does not exist: make it, then run the foundation and this file again.';
    END IF;
END
$filling$;

COMMIT;
