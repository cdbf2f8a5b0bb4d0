-- What operators do: each operation with its reason, the set of rows that it was decided on, and what became of each; the
-- role of those who do it, and its rights.
--   psql "$DATABASE_URL" -f migrations/sprint3_operations.sql      after the foundation, before functions.sql
-- replaces 08222968f93c0913e84a03efc9b399470b4f1ea974d265ae498106665069a61f
-- One transaction, safe to run again. Services of the release before go on with it as they are.
BEGIN;

DO $operations$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    new_tables text[] := ARRAY['operation', 'operation_item'];
    missing text[] := ARRAY(SELECT t FROM unnest(new_tables) AS t WHERE to_regclass(quote_ident(t)) IS NULL);
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    FOR item IN SELECT t AS name FROM unnest(new_tables) AS t
                WHERE t <> ALL (missing) AND NOT EXISTS (SELECT FROM sluice_addition WHERE kind = 'table' AND table_name = t)
    LOOP
        RAISE EXCEPTION USING ERRCODE = 'SLU01', MESSAGE = format(
            E'Nothing was changed; cure this, then run it again.\n\n1. %s: this name is taken, and Sluice needs it for a table '
            'of its own.\n   ALTER TABLE %1$I RENAME TO %2$I;', item.name, 'your_' || item.name);
    END LOOP;

    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_operator') THEN
        BEGIN
            CREATE ROLE sluice_operator NOLOGIN;
            INSERT INTO sluice_addition (kind, name) VALUES ('role', 'sluice_operator') ON CONFLICT DO NOTHING;
        EXCEPTION
            WHEN insufficient_privilege THEN NULL;  -- the warning at the end says what to run
            WHEN duplicate_object OR unique_violation THEN NULL;  -- made at this moment from another database
        END;
    END IF;

    -- What an operator decided. What is written stays: a trigger lets NULL become a value and nothing else.
    CREATE TABLE IF NOT EXISTS operation (
        id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        verb             text NOT NULL CHECK (verb IN ('retry', 'replay', 'write-off', 'resolve')),
        filter           jsonb NOT NULL,                 -- what the set was chosen by
        reason           text NOT NULL CHECK (btrim(reason) <> ''),
        person           text NOT NULL CHECK (btrim(person) <> ''),   -- who says they do it
        login            text NOT NULL DEFAULT session_user,          -- whose password was used
        rate             integer CHECK (rate > 0),       -- items a second at most; NULL: as fast as it goes
        started_at       timestamptz NOT NULL DEFAULT now(),
        ended_at         timestamptz,                    -- when its last item was done
        cancelled_at     timestamptz,
        cancelled_by     text
    );
    -- Each row that the operation is about, chosen when it started; the last four are written when it was the row's turn.
    CREATE TABLE IF NOT EXISTS operation_item (
        operation_id     bigint NOT NULL REFERENCES operation,
        position         bigint NOT NULL,
        item_id          text NOT NULL,                  -- webhook_logs.stripe_event_id; of resolve error_logs.id
        done_at          timestamptz,
        result           text CHECK (result IN ('changed', 'unfit', 'held', 'missing')),
        before           jsonb,
        after            jsonb,
        PRIMARY KEY (operation_id, position),
        UNIQUE (operation_id, item_id),
        CHECK ((done_at IS NULL) = (result IS NULL))
    );
    CREATE INDEX IF NOT EXISTS operation_item_of ON operation_item (item_id);
    CREATE INDEX IF NOT EXISTS operation_item_open ON operation_item (operation_id, position) WHERE done_at IS NULL;
    INSERT INTO sluice_addition (kind, table_name) SELECT 'table', t FROM unnest(missing) AS t ON CONFLICT DO NOTHING;

    -- Tables belong to the owner of webhook_logs, also where a superuser runs this.
    IF owner <> current_user::regrole THEN
        BEGIN
            FOR item IN SELECT t AS name FROM unnest(missing) AS t LOOP
                EXECUTE format('ALTER TABLE %I OWNER TO %s', item.name, owner);
            END LOOP;
        EXCEPTION WHEN insufficient_privilege THEN NULL;  -- a role that may alter the table has the owner's rights
        END;
    END IF;

    -- Rights: none to begin with, then what each role needs.
    FOR item IN SELECT o.object, g.grantee
                FROM (SELECT 'TABLE ' || quote_ident(t) FROM unnest(new_tables) AS t) AS o (object),
                     (SELECT 'PUBLIC' UNION ALL
                      SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')) AS g (grantee)
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', item.object, item.grantee);
    END LOOP;
    FOR item IN SELECT t AS name FROM unnest(new_tables) AS t JOIN pg_class ON oid = to_regclass(quote_ident(t))
                WHERE NOT relrowsecurity
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', item.name);
    END LOOP;
    FOR item IN
        SELECT g.* FROM (VALUES
            ('sluice_operator', 'SELECT, UPDATE (processed, processing_attempts, solo_starts, outcome, next_attempt_at, '
                'published_at, parked_at, processed_at, dead_at, postponed_at)', 'webhook_logs'),
            ('sluice_operator', 'SELECT, INSERT, UPDATE (resolved, resolved_at)', 'error_logs'),
            ('sluice_operator', 'SELECT, INSERT (verb, filter, reason, person, rate), '
                'UPDATE (ended_at, cancelled_at, cancelled_by)', 'operation'),
            ('sluice_operator', 'SELECT, INSERT (operation_id, position, item_id), UPDATE (done_at, result, before, after)',
                'operation_item'),
            ('sluice_operator', 'SELECT', 'webhook_delivery'),
            ('sluice_operator', 'SELECT', 'webhook_death'),
            ('sluice_operator', 'SELECT', 'webhook_found'),
            ('sluice_operator', 'SELECT', 'webhook_load_test'),
            ('sluice_operator', 'SELECT', 'reconcile_account'),
            ('sluice_operator', 'SELECT', 'thin_fetch'),
            ('sluice_operator', 'SELECT', 'health_verdict'),
            ('sluice_operator', 'SELECT', 'queue_watermark'),
            ('sluice_operator', 'SELECT', 'payment'),
            ('sluice_operator', 'SELECT', 'payment_fact'),
            ('sluice_operator', 'SELECT (id, name, created_at, stripe_account_id, payment_status, last_webhook_received, '
                'stripe_payment_intent_id)', 'events'),
            ('sluice_operator', 'SELECT', 'sluice_migration'),
            ('sluice_migrator', 'ALL', 'operation'),
            ('sluice_migrator', 'ALL', 'operation_item')
        ) AS g (role, privileges, table_name) JOIN pg_roles ON rolname = g.role
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', item.privileges, item.table_name, item.role);
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = item.table_name::regclass AND polname = item.role) THEN
            EXECUTE format('CREATE POLICY %I ON %I TO %1$I USING (true) WITH CHECK (true)', item.role, item.table_name);
        END IF;
    END LOOP;
    FOR item IN
        SELECT 'USAGE ON SEQUENCE ' || s.oid::regclass AS privilege  -- an earlier application's serial ids
        FROM pg_attrdef a
        JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
        WHERE a.adrelid = 'error_logs'::regclass
        UNION ALL
        SELECT DISTINCT 'USAGE ON SCHEMA ' || quote_ident(nspname) FROM pg_namespace
        WHERE oid IN (current_schema()::regnamespace, (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass))
    LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_operator') THEN
            EXECUTE format('GRANT %s TO sluice_operator', item.privilege);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_operator') THEN
        RAISE WARNING 'The role sluice_operator does not exist: CREATE ROLE sluice_operator NOLOGIN; then run this file again.';
    END IF;
END
$operations$;

COMMIT;
