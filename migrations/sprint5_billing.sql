-- Subscriptions say when they end; rows of one second are compared by what Stripe says of the change; keys of events rows
-- are read as people write them.
--   psql "$DATABASE_URL" -f migrations/sprint5_billing.sql      after the foundation, each time that is run
-- One transaction, safe to run again. The services of the release before work with it: they know neither the columns nor
-- fewer keys.
BEGIN;

DO $billing$
DECLARE
    key_type regtype := (SELECT atttypid FROM pg_attribute
                         WHERE attrelid = 'events'::regclass AND attname = 'id' AND NOT attisdropped);
    -- A key may stand between white space; a UUID as PostgreSQL itself reads it (capitals, braces, any hyphens between
    -- groups of four digits; the usual spelling first, so that it costs what it did), a number with a sign and leading
    -- zeros. Any other key is taken as it is written.
    trimmed text := $$btrim(key, E' \t\n\r\f\v')$$;
    key_body text := CASE key_type
        WHEN 'uuid'::regtype THEN format(
            $$CASE WHEN key ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN key::uuid
                WHEN %1$s ~ '^(\{[0-9A-Fa-f]{4}(-?[0-9A-Fa-f]{4}){7}\}|[0-9A-Fa-f]{4}(-?[0-9A-Fa-f]{4}){7})$'
                THEN %1$s::uuid END$$, trimmed)
        WHEN 'bigint'::regtype THEN format(
            $$CASE WHEN %1$s ~ '^[+-]?[0-9]{1,255}$' THEN
                CASE WHEN %1$s::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN %1$s::bigint END END$$,
            trimmed)
        WHEN 'integer'::regtype THEN format(
            $$CASE WHEN %1$s ~ '^[+-]?[0-9]{1,255}$' THEN
                CASE WHEN %1$s::numeric BETWEEN -2147483648 AND 2147483647 THEN %1$s::integer END END$$, trimmed)
        ELSE format($$nullif(%s, '')$$, trimmed) END;
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    -- newest_second: the status that each event of the second said_at told, by its id; see processor/billing.py.
    ALTER TABLE subscription
        ADD COLUMN IF NOT EXISTS cancel_at      timestamptz,
        ADD COLUMN IF NOT EXISTS canceled_at    timestamptz,
        ADD COLUMN IF NOT EXISTS ended_at       timestamptz,
        ADD COLUMN IF NOT EXISTS trial_end      timestamptz,
        ADD COLUMN IF NOT EXISTS newest_second  jsonb NOT NULL DEFAULT '{}';
    ALTER TABLE invoice
        ADD COLUMN IF NOT EXISTS newest_second  jsonb NOT NULL DEFAULT '{}';

    FOR item IN SELECT f.oid::regprocedure AS name FROM pg_proc f
                WHERE f.proname = 'sluice_event_key' AND f.pronamespace = current_schema()::regnamespace
                  AND f.prorettype <> key_type
    LOOP
        EXECUTE format('DROP FUNCTION %s', item.name);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION sluice_event_key(key text) RETURNS %s LANGUAGE sql IMMUTABLE STRICT '
                   'PARALLEL SAFE SET search_path = pg_catalog, pg_temp RETURN %s', key_type, key_body);

    FOR item IN
        SELECT 'REVOKE ALL ON FUNCTION sluice_event_key(text) FROM ' || g.grantee AS command
        FROM (SELECT 'PUBLIC' UNION ALL
              SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')) AS g (grantee)
        UNION ALL
        SELECT format('GRANT EXECUTE ON FUNCTION sluice_event_key(text) TO %I', rolname)
        FROM pg_roles WHERE rolname IN ('sluice_ingest', 'sluice_processor', 'sluice_migrator')
    LOOP
        EXECUTE item.command;
    END LOOP;
END
$billing$;

COMMIT;
