-- Pauses: what operators let wait, since when and on whose word; which webhooks wait for it, and since when each.
--   psql "$DATABASE_URL" -f migrations/sprint3_pauses.sql      after sprint3_operator_rights.sql, before functions.sql
-- One transaction, safe to run again. Services of the release before go on with it as they are: they heed no pause.
BEGIN;

DO $pauses$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    new_tables text[] := ARRAY['pause', 'paused_webhook'];
    missing text[] := ARRAY(SELECT t FROM unnest(new_tables) AS t WHERE to_regclass(quote_ident(t)) IS NULL);
    verbs text[];
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    FOR item IN
        SELECT format('%s: this name is taken, and Sluice needs it for a table of its own.', t) AS fault,
               format('ALTER TABLE %I RENAME TO %I;', t, 'your_' || t) AS cure
        FROM unnest(new_tables) AS t
        WHERE t <> ALL (missing) AND NOT EXISTS (SELECT FROM sluice_addition WHERE kind = 'table' AND table_name = t)
        UNION ALL
        SELECT 'webhook_logs.resumed_at: this name is taken, and Sluice needs it for a column of its own.',
               'ALTER TABLE webhook_logs RENAME resumed_at TO your_resumed_at;'
        FROM pg_attribute
        WHERE attrelid = 'webhook_logs'::regclass AND attname = 'resumed_at' AND NOT attisdropped
          AND NOT EXISTS (SELECT FROM sluice_addition
                          WHERE kind = 'column' AND table_name = 'webhook_logs' AND name = 'resumed_at')
          AND NOT EXISTS (SELECT FROM sluice_addition WHERE kind = 'table' AND table_name = 'webhook_logs')
    LOOP
        RAISE EXCEPTION USING ERRCODE = 'SLU01', MESSAGE = format(
            E'Nothing was changed; cure this, then run it again.\n\n1. %s\n   %s', item.fault, item.cure);
    END LOOP;

    -- What is let wait. Who decided, and why, stands in the two operations. What is written stays, as in operation.
    CREATE TABLE IF NOT EXISTS pause (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind        text NOT NULL CHECK (kind IN ('all', 'type', 'account', 'handler')),
        value       text CHECK (btrim(value) <> ''),      -- glob of types, connected account, or handler; of all NULL
        began_at    timestamptz NOT NULL DEFAULT now(),
        began_by    bigint NOT NULL REFERENCES operation,
        ended_at    timestamptz,                          -- NULL: it is in force
        ended_by    bigint REFERENCES operation,
        emptied_at  timestamptz,                          -- when no webhook waited for it any more
        CHECK ((kind = 'all') = (value IS NULL)),
        CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
        CHECK (emptied_at IS NULL OR ended_at IS NOT NULL)
    );
    CREATE UNIQUE INDEX IF NOT EXISTS pause_in_force ON pause (kind, coalesce(value, '')) WHERE ended_at IS NULL;
    CREATE INDEX IF NOT EXISTS pause_open ON pause (id) WHERE emptied_at IS NULL;
    -- Each webhook that waits for the end of a pause, in the order in which they came to wait.
    CREATE TABLE IF NOT EXISTS paused_webhook (
        stripe_event_id  text PRIMARY KEY,
        position         bigint GENERATED ALWAYS AS IDENTITY,
        pause_id         bigint NOT NULL REFERENCES pause,
        paused_at        timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX IF NOT EXISTS paused_webhook_of ON paused_webhook (pause_id, position);
    INSERT INTO sluice_addition (kind, table_name) SELECT 'table', t FROM unnest(missing) AS t ON CONFLICT DO NOTHING;

    -- When a pause let a webhook go at last: what it waited for before is not counted as delay.
    IF NOT EXISTS (SELECT FROM pg_attribute
                   WHERE attrelid = 'webhook_logs'::regclass AND attname = 'resumed_at' AND NOT attisdropped) THEN
        ALTER TABLE webhook_logs ADD COLUMN resumed_at timestamptz;
        INSERT INTO sluice_addition (kind, table_name, name) VALUES ('column', 'webhook_logs', 'resumed_at')
        ON CONFLICT DO NOTHING;
    END IF;

    -- Two more verbs, beside those that are there: a pause's beginning and its end are operations.
    SELECT array_agg(DISTINCT word[1]) INTO verbs
    FROM pg_constraint,
         regexp_matches(pg_get_constraintdef(oid), '''([a-z-]+)''', 'g') AS word
    WHERE conrelid = 'operation'::regclass AND conname = 'operation_verb_check';
    IF verbs IS NOT NULL AND 'pause' <> ALL (verbs) THEN
        ALTER TABLE operation DROP CONSTRAINT operation_verb_check;
        EXECUTE format('ALTER TABLE operation ADD CONSTRAINT operation_verb_check CHECK (verb IN (%s))',
                       (SELECT string_agg(quote_literal(verb), ', ' ORDER BY verb)
                        FROM unnest(verbs || '{pause,resume}') AS verb));
    END IF;

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
            ('sluice_processor', 'SELECT (id, kind, value, ended_at, emptied_at)', 'pause'),
            ('sluice_processor', 'SELECT', 'paused_webhook'),
            ('sluice_healthd', 'SELECT (id, kind, began_at, ended_at, emptied_at)', 'pause'),
            ('sluice_healthd', 'SELECT (pause_id, position, paused_at)', 'paused_webhook'),
            ('sluice_healthd', 'SELECT (resumed_at)', 'webhook_logs'),
            ('sluice_operator', 'SELECT', 'pause'),
            ('sluice_operator', 'SELECT', 'paused_webhook'),
            ('sluice_migrator', 'ALL', 'pause'),
            ('sluice_migrator', 'ALL', 'paused_webhook')
        ) AS g (role, privileges, table_name) JOIN pg_roles ON rolname = g.role
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', item.privileges, item.table_name, item.role);
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = item.table_name::regclass AND polname = item.role) THEN
            EXECUTE format('CREATE POLICY %I ON %I TO %1$I USING (true) WITH CHECK (true)', item.role, item.table_name);
        END IF;
    END LOOP;
END
$pauses$;

COMMIT;
