-- The console's own table: who viewed the body of which webhook. What the console reads and changes otherwise it has
-- the rights of sluice_operator for.
--   psql "$DATABASE_URL" -f migrations/sprint3_viewed_bodies.sql      after sprint3_operations.sql, before functions.sql
-- One transaction, safe to run again. Services of the release before go on with it as they are.
BEGIN;

DO $console$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    is_new boolean := to_regclass('body_view') IS NULL;
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    IF NOT is_new AND NOT EXISTS (SELECT FROM sluice_addition WHERE kind = 'table' AND table_name = 'body_view') THEN
        RAISE EXCEPTION USING ERRCODE = 'SLU01', MESSAGE =
            E'Nothing was changed; cure this, then run it again.\n\n1. body_view: this name is taken, and Sluice needs it for a '
            'table of its own.\n   ALTER TABLE body_view RENAME TO your_body_view;';
    END IF;

    -- Each view of a body in the console. Append-only, by a trigger.
    CREATE TABLE IF NOT EXISTS body_view (
        id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stripe_event_id  text NOT NULL,
        person           text NOT NULL CHECK (btrim(person) <> ''),   -- as whom the proxy, or the session, knows them
        login            text NOT NULL DEFAULT session_user,          -- the console's own
        viewed_at        timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX IF NOT EXISTS body_view_event ON body_view (stripe_event_id);
    INSERT INTO sluice_addition (kind, table_name) SELECT 'table', 'body_view' WHERE is_new ON CONFLICT DO NOTHING;

    -- It belongs to the owner of webhook_logs, also where a superuser runs this.
    IF is_new AND owner <> current_user::regrole THEN
        BEGIN
            EXECUTE format('ALTER TABLE body_view OWNER TO %s', owner);
        EXCEPTION WHEN insufficient_privilege THEN NULL;  -- a role that may alter the table has the owner's rights
        END;
    END IF;

    REVOKE ALL ON body_view FROM PUBLIC;
    FOR item IN SELECT rolname AS name FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON body_view FROM %I', item.name);
    END LOOP;
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = 'body_view'::regclass) THEN
        ALTER TABLE body_view ENABLE ROW LEVEL SECURITY;
    END IF;
    FOR item IN
        SELECT g.* FROM (VALUES
            ('sluice_operator', 'SELECT, INSERT (stripe_event_id, person)'),
            ('sluice_migrator', 'ALL')
        ) AS g (role, privileges) JOIN pg_roles ON rolname = g.role
    LOOP
        EXECUTE format('GRANT %s ON body_view TO %I', item.privileges, item.role);
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = 'body_view'::regclass AND polname = item.role) THEN
            EXECUTE format('CREATE POLICY %I ON body_view TO %1$I USING (true) WITH CHECK (true)', item.role);
        END IF;
    END LOOP;
END
$console$;

COMMIT;
