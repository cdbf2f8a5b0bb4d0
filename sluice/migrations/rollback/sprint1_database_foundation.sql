-- Takes out what Sluice added, and nothing that was there before: an earlier application's tables, rows and columns stay.
--   psql "$DATABASE_URL" -f migrations/rollback/sprint1_database_foundation.sql
-- Stop the services first. The webhooks, payments and errors in tables that Sluice made are gone afterwards: keep a dump
-- (pg_dump) if you want them. A table `events` that Sluice made stays while it holds rows, without Sluice's columns.
-- While webhooks that Stripe was told are received have had no effect yet, it refuses. To lose them all the same, run
--   SET sluice.drop_unprocessed = 'yes';
-- before it in the same session: psql "$DATABASE_URL" -c "SET sluice.drop_unprocessed = 'yes'" -f migrations/rollback/…,
-- or as a first line in the Supabase SQL editor.
BEGIN;

DO $rollback$
DECLARE
    item record;
    added jsonb;  -- what sluice_addition held
    own_tables text[];
    policies text[] := ARRAY['sluice_ingest', 'sluice_processor', 'sluice_healthd', 'sluice_reconciler', 'sluice_operator',
                            'sluice_maintainer', 'sluice_migrator', 'sluice_functions'];  -- no role has the last name
    has_events boolean;
    unprocessed bigint;
BEGIN
    IF to_regclass('sluice_addition') IS NULL THEN
        RAISE EXCEPTION 'There is nothing to undo: Sluice was not added to this database, or not in this search_path.';
    END IF;
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));
    IF coalesce(current_setting('sluice.drop_unprocessed', true), '') <> 'yes' THEN
        LOCK TABLE webhook_logs IN SHARE MODE;  -- none is acknowledged between the count and the end
        EXECUTE 'SELECT count(*) FROM webhook_logs WHERE NOT processed AND '
            || CASE WHEN to_regclass('webhook_body') IS NULL THEN 'body IS NOT NULL'
                    ELSE 'coalesce(body_id, octet_length(body)) IS NOT NULL' END INTO unprocessed;
        IF unprocessed > 0 THEN
            RAISE EXCEPTION 'Nothing was changed: % webhook(s) that Stripe was told are received would be lost without effect.',
                unprocessed USING HINT = 'Let the services run until `sluice status` shows no backlog, and replay or write '
                'off what is dead (docs/runbook.md, "Dead rows"). To lose them all the same, run first, in this session: '
                'SET sluice.drop_unprocessed = ''yes'';';
        END IF;
    END IF;
    added := (SELECT jsonb_agg(to_jsonb(s)) FROM sluice_addition s);
    own_tables := ARRAY(SELECT table_name FROM sluice_addition WHERE kind = 'table');
    has_events := EXISTS (SELECT FROM events);
    IF has_events THEN
        own_tables := array_remove(own_tables, 'events');
    END IF;

    DROP TRIGGER IF EXISTS sluice_death ON webhook_logs;
    DROP TRIGGER IF EXISTS sluice_chosen ON operation_item;
    DROP TRIGGER IF EXISTS sluice_kept ON operation_item;
    DROP TRIGGER IF EXISTS sluice_kept_whole ON operation_item;
    DROP TRIGGER IF EXISTS sluice_kept ON operation;
    DROP TRIGGER IF EXISTS sluice_kept_whole ON operation;
    DROP TRIGGER IF EXISTS sluice_kept ON body_view;
    DROP TRIGGER IF EXISTS sluice_kept_whole ON body_view;
    DROP TRIGGER IF EXISTS sluice_kept ON pause;
    DROP TRIGGER IF EXISTS sluice_kept_whole ON pause;

    -- Tables that stay lose our policies, rights, indexes and columns, and get back what was revoked.
    FOR item IN SELECT c.relname AS name, p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
                WHERE p.polname = ANY (policies) AND c.relname <> ALL (own_tables)
                  AND c.oid IN ('events'::regclass, 'webhook_logs'::regclass, 'error_logs'::regclass)
    LOOP
        EXECUTE format('DROP POLICY %I ON %I', item.polname, item.name);
    END LOOP;
    FOR item IN SELECT t.name AS table_name, r.rolname
                FROM unnest(ARRAY['events', 'webhook_logs', 'error_logs']) AS t (name), pg_roles r
                WHERE r.rolname = ANY (policies) AND t.name <> ALL (own_tables)
    LOOP
        EXECUTE format('REVOKE ALL ON %I FROM %I', item.table_name, item.rolname);
    END LOOP;
    FOR item IN SELECT s.oid::regclass AS sequence, r.rolname
                FROM pg_roles r, pg_attrdef a
                JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
                JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
                WHERE a.adrelid IN ('webhook_logs'::regclass, 'error_logs'::regclass) AND r.rolname = ANY (policies)
    LOOP
        EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM %I', item.sequence, item.rolname);
    END LOOP;
    FOR item IN SELECT table_name, name FROM jsonb_to_recordset(added) AS s (kind text, table_name text, name text, detail text)
                WHERE kind = 'index' AND table_name <> ALL (own_tables) LOOP
        IF item.table_name <> 'events' OR item.name <> 'events_pkey' THEN
            EXECUTE format('DROP INDEX IF EXISTS %I', item.name);
        END IF;
    END LOOP;
    FOR item IN SELECT table_name, name FROM jsonb_to_recordset(added) AS s (kind text, table_name text, name text, detail text)
                WHERE kind = 'column' AND table_name <> ALL (own_tables)
                AND NOT (table_name = 'events' AND name IN ('id', 'name', 'created_at'))
    LOOP
        EXECUTE format('ALTER TABLE %I DROP COLUMN IF EXISTS %I', item.table_name, item.name);
    END LOOP;
    FOR item IN SELECT table_name, name, detail FROM jsonb_to_recordset(added) AS s (kind text, table_name text, name text, detail text)
                WHERE kind = 'revoked' LOOP
        EXECUTE format('GRANT %s ON %I TO %s', item.detail, item.table_name, item.name);
    END LOOP;

    -- What calls another function goes before it.
    FOR item IN SELECT f.oid::regprocedure AS name FROM pg_proc f
                WHERE f.pronamespace = current_schema()::regnamespace
                  AND f.proname IN ('sluice_event_key', 'sluice_uuid_key', 'sluice_bigint_key', 'sluice_integer_key',
                                    'sluice_text_key', 'sluice_body_json', 'sluice_schema_findings',
                                    'sluice_payment_scopes', 'sluice_shown_scopes', 'sluice_fill_webhooks',
                                    'sluice_revive_webhook', 'sluice_add_facts', 'sluice_store_payments',
                                    'sluice_count_due', 'sluice_claim_batch', 'sluice_settle_batch',
                                    'sluice_postpone_webhook', 'sluice_lease_webhooks', 'sluice_note_death',
                                    'sluice_connected_accounts', 'sluice_settle_thin', 'sluice_keep_operation',
                                    'sluice_bodies', 'sluice_body', 'sluice_prepare_bodies', 'sluice_record_webhooks',
                                    'sluice_count_expired', 'sluice_delete_errors', 'sluice_delete_items',
                                    'sluice_delete_webhooks', 'sluice_drop_bodies', 'sluice_forget_bodies',
                                    'sluice_is_disputed', 'sluice_keep_bodies',
                                    'sluice_keep_items', 'sluice_carry_out', 'sluice_end_operation',
                                    'sluice_cancel_operation', 'sluice_hold_items', 'sluice_tell_items',
                                    'sluice_mark_errors', 'sluice_retry_webhooks', 'sluice_replay_webhooks',
                                    'sluice_replay_ended_webhooks', 'sluice_write_off_webhooks',
                                    'sluice_reopen_webhooks',
                                    'sluice_begin_pause', 'sluice_end_pauses', 'sluice_pause_webhooks',
                                    'sluice_resume_webhooks',
                                    'sluice_append_facts', 'sluice_show_payments', 'sluice_claim_webhooks',
                                    'sluice_settle_webhooks')
                ORDER BY f.proname <> 'sluice_event_key', f.oid DESC
    LOOP
        EXECUTE format('DROP FUNCTION %s', item.name);
    END LOOP;
    -- What refers to another table goes before it.
    FOR item IN SELECT name FROM unnest(own_tables) AS t (name)
                ORDER BY array_position(ARRAY['paused_webhook', 'pause', 'operation_start', 'operation_item'], name) LOOP
        EXECUTE format('DROP TABLE %I', item.name);
    END LOOP;

    -- Rights on the schema; then the roles, which may still serve another database.
    FOR item IN SELECT r.rolname, n.nspname
                FROM pg_roles r, pg_namespace n, aclexplode(n.nspacl) AS acl
                WHERE r.rolname = ANY (policies) AND acl.grantee = r.oid
                  AND n.oid IN (current_schema()::regnamespace, (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('events')))
    LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', item.nspname, item.rolname);
    END LOOP;
    FOR item IN SELECT name FROM jsonb_to_recordset(added) AS s (kind text, table_name text, name text, detail text)
                WHERE kind = 'role' LOOP
        BEGIN
            EXECUTE format('DROP ROLE IF EXISTS %I', item.name);
        EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
            RAISE WARNING 'The role % is still used and stays.', item.name;
        END;
    END LOOP;
END
$rollback$;

COMMIT;
