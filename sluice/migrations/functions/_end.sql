-- Where each function finds its tables, whose rights it has, and who may call it. A function is listed here by its name.
DO $rights$
DECLARE
    -- Sluice's own schema first, should the user's events be in another.
    own_schema text := quote_ident(current_schema());
    schemas text := (SELECT concat_ws(', ', own_schema, nullif(quote_ident(nspname), own_schema))
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'events'::regclass);
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    callers jsonb := $${
        "sluice_add_facts": ["sluice_processor"],
        "sluice_begin_pause": ["sluice_operator", "sluice_migrator"],
        "sluice_bigint_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_bodies": ["sluice_ingest", "sluice_processor", "sluice_reconciler", "sluice_operator", "sluice_migrator"],
        "sluice_body": ["sluice_ingest", "sluice_processor", "sluice_reconciler", "sluice_operator", "sluice_migrator"],
        "sluice_body_json": ["sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_cancel_operation": ["sluice_operator"],
        "sluice_carry_out": ["sluice_operator"],
        "sluice_claim_batch": ["sluice_processor"],
        "sluice_connected_accounts": ["sluice_reconciler", "sluice_migrator"],
        "sluice_count_expired": ["sluice_maintainer", "sluice_migrator"],
        "sluice_delete_errors": ["sluice_maintainer", "sluice_migrator"],
        "sluice_delete_items": ["sluice_maintainer", "sluice_migrator"],
        "sluice_delete_webhooks": ["sluice_maintainer", "sluice_migrator"],
        "sluice_drop_bodies": ["sluice_maintainer", "sluice_migrator"],
        "sluice_forget_bodies": ["sluice_maintainer", "sluice_migrator"],
        "sluice_is_disputed": [],
        "sluice_keep_bodies": ["sluice_maintainer", "sluice_migrator"],
        "sluice_count_due": ["sluice_healthd", "sluice_migrator"],
        "sluice_end_operation": ["sluice_operator"],
        "sluice_end_pauses": ["sluice_operator", "sluice_migrator"],
        "sluice_event_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_fill_webhooks": ["sluice_ingest"],
        "sluice_hold_items": [],
        "sluice_integer_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_keep_items": [],
        "sluice_keep_operation": [],
        "sluice_lease_webhooks": ["sluice_processor"],
        "sluice_mark_errors": [],
        "sluice_note_death": [],
        "sluice_pause_webhooks": ["sluice_processor"],
        "sluice_payment_scopes": ["sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_postpone_webhook": ["sluice_processor"],
        "sluice_prepare_bodies": ["sluice_maintainer", "sluice_migrator"],
        "sluice_record_webhooks": ["sluice_ingest", "sluice_reconciler", "sluice_migrator"],
        "sluice_reopen_webhooks": [],
        "sluice_replay_ended_webhooks": ["sluice_processor"],
        "sluice_replay_webhooks": ["sluice_processor"],
        "sluice_resume_webhooks": ["sluice_processor"],
        "sluice_retry_webhooks": ["sluice_processor"],
        "sluice_revive_webhook": ["sluice_ingest"],
        "sluice_schema_findings": ["sluice_healthd", "sluice_operator", "sluice_migrator"],
        "sluice_settle_batch": ["sluice_processor"],
        "sluice_settle_thin": ["sluice_reconciler", "sluice_migrator"],
        "sluice_shown_scopes": ["sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_store_payments": ["sluice_processor"],
        "sluice_tell_items": [],
        "sluice_text_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_uuid_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_write_off_webhooks": []
    }$$;
    retired text[] := ARRAY['sluice_append_facts', 'sluice_claim_webhooks', 'sluice_settle_webhooks',
                            'sluice_show_payments'];
    item record;
BEGIN
    FOR item IN SELECT oid::regprocedure AS name FROM pg_proc
                WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (retired)
    LOOP
        EXECUTE format('DROP FUNCTION %s', item.name);
    END LOOP;

    FOR item IN SELECT oid::regprocedure AS name, prosecdef, prosqlbody IS NOT NULL AS is_bound FROM pg_proc
                WHERE pronamespace = current_schema()::regnamespace AND callers ? proname::text
    LOOP
        -- A body after RETURN found its names when the function was made.
        IF NOT item.is_bound THEN
            EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %s, pg_temp', item.name,
                           CASE WHEN item.prosecdef THEN own_schema ELSE schemas END);
        END IF;
        -- It has the rights of the table's owner, and so have the table's triggers: nobody else's, should a superuser
        -- run this. Whoever may alter the table has the owner's rights already.
        IF item.prosecdef AND owner <> current_user::regrole THEN
            BEGIN
                EXECUTE format('ALTER FUNCTION %s OWNER TO %s', item.name, owner);
            EXCEPTION WHEN insufficient_privilege THEN NULL;
            END;
        END IF;
    END LOOP;

    FOR item IN
        SELECT format('REVOKE ALL ON FUNCTION %s FROM %s', f.oid::regprocedure, visitor.name) AS command
        FROM pg_proc f, (SELECT 'PUBLIC' UNION ALL
                         SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')) AS visitor (name)
        WHERE f.pronamespace = current_schema()::regnamespace AND callers ? f.proname::text
        UNION ALL
        SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I', f.oid::regprocedure, r.rolname)
        FROM pg_proc f JOIN pg_roles r ON callers -> f.proname::text ? r.rolname::text
        WHERE f.pronamespace = current_schema()::regnamespace
    LOOP
        EXECUTE item.command;
    END LOOP;

    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'webhook_logs'::regclass AND tgname = 'sluice_death') THEN
        CREATE TRIGGER sluice_death AFTER UPDATE OF dead_at ON webhook_logs FOR EACH ROW
            WHEN (NEW.dead_at IS NOT NULL AND NEW.dead_at IS DISTINCT FROM OLD.dead_at)
            EXECUTE FUNCTION sluice_note_death();
    END IF;
    FOR item IN SELECT t AS name FROM unnest(ARRAY['operation', 'operation_item', 'body_view', 'pause']) AS t
                WHERE to_regclass(t) IS NOT NULL
                  AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(t) AND tgname = 'sluice_kept')
    LOOP
        EXECUTE format('CREATE TRIGGER sluice_kept BEFORE UPDATE OR DELETE ON %I FOR EACH ROW '
                       'EXECUTE FUNCTION sluice_keep_operation()', item.name);
        EXECUTE format('CREATE TRIGGER sluice_kept_whole BEFORE TRUNCATE ON %I FOR EACH STATEMENT '
                       'EXECUTE FUNCTION sluice_keep_operation()', item.name);
    END LOOP;
    IF to_regclass('operation_item') IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('operation_item') AND tgname = 'sluice_chosen') THEN
        CREATE TRIGGER sluice_chosen AFTER INSERT ON operation_item REFERENCING NEW TABLE AS added FOR EACH STATEMENT
            EXECUTE FUNCTION sluice_keep_items();
    END IF;

    FOR item IN SELECT * FROM sluice_schema_findings() LOOP
        RAISE WARNING E'%: %\n%', item.name, item.finding, item.cure;
    END LOOP;
END
$rights$;

COMMIT;
