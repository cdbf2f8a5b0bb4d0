-- What operators ask of the handlers, which live in the processor: to show what a retry or a replay would change, and to
-- run one handler over stored webhooks. Each is asked by a row, and a processor carries it out with its own rights.
--   psql "$DATABASE_URL" -f migrations/sprint3_rehearsals.sql      after sprint3_operations.sql, before functions.sql
-- One transaction, safe to run again. Services of the release before go on with it as they are.
BEGIN;

DO $rehearsals$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    new_tables text[] := ARRAY['webhook_handler', 'webhook_rehearsal', 'operation_start'];
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

    -- Handlers that processors have: what may be asked for.
    CREATE TABLE IF NOT EXISTS webhook_handler (
        name             text PRIMARY KEY,               -- module.function
        types            text[] NOT NULL,                -- of the events that it takes
        organiser_types  text[] NOT NULL,                -- of these, those that it takes of organisers too
        acts_outside     boolean NOT NULL,               -- it says that it has effects outside PostgreSQL
        first_seen_at    timestamptz NOT NULL DEFAULT now(),
        last_seen_at     timestamptz NOT NULL DEFAULT now()
    );
    -- Somebody asks what a retry or a replay would change. A processor runs it, rolls it back, and leaves the answer here
    -- for a day.
    CREATE TABLE IF NOT EXISTS webhook_rehearsal (
        id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        verb             text NOT NULL CHECK (verb IN ('retry', 'replay')),
        handler          text,                           -- this one alone; NULL: all, as a retry or replay would
        items            text[] NOT NULL,                -- webhook_logs.stripe_event_id, in the order of the run
        found            bigint NOT NULL,                -- webhooks that the filter finds; items are the first of them
        person           text NOT NULL CHECK (btrim(person) <> ''),
        login            text NOT NULL DEFAULT session_user,
        asked_at         timestamptz NOT NULL DEFAULT now(),
        starts           integer NOT NULL DEFAULT 0,     -- runs that have begun
        at_item          text,                           -- the webhook that runs, where each runs alone
        done_at          timestamptz,
        answer           jsonb,                          -- what would change
        problem          text,                           -- why there is no answer
        CHECK ((done_at IS NULL) = (answer IS NULL AND problem IS NULL))
    );
    CREATE INDEX IF NOT EXISTS webhook_rehearsal_open ON webhook_rehearsal (id) WHERE done_at IS NULL;
    -- Runs of a handler over a webhook that began and did not end: as solo_starts of webhook_logs.
    CREATE TABLE IF NOT EXISTS operation_start (
        operation_id     bigint NOT NULL,
        position         bigint NOT NULL,
        starts           integer NOT NULL DEFAULT 1,
        PRIMARY KEY (operation_id, position),
        FOREIGN KEY (operation_id, position) REFERENCES operation_item
    );
    INSERT INTO sluice_addition (kind, table_name) SELECT 'table', t FROM unnest(missing) AS t ON CONFLICT DO NOTHING;

    -- The handler that a replay runs alone, over what has been processed; NULL: the webhooks take their course again.
    ALTER TABLE operation ADD COLUMN IF NOT EXISTS handler text;
    CREATE INDEX IF NOT EXISTS operation_of_handler ON operation (id)
        WHERE handler IS NOT NULL AND ended_at IS NULL AND cancelled_at IS NULL;
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'operation_item'::regclass
                   AND conname = 'operation_item_result_check' AND pg_get_constraintdef(oid) LIKE '%failed%') THEN
        ALTER TABLE operation_item DROP CONSTRAINT IF EXISTS operation_item_result_check;
        ALTER TABLE operation_item ADD CONSTRAINT operation_item_result_check
            CHECK (result IN ('changed', 'unfit', 'held', 'missing', 'failed'));
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
            ('sluice_operator', 'INSERT (handler)', 'operation'),
            ('sluice_operator', 'SELECT', 'webhook_handler'),
            ('sluice_operator', 'SELECT, INSERT (verb, handler, items, found, person)', 'webhook_rehearsal'),
            ('sluice_processor', 'SELECT (id, handler, rate, ended_at, cancelled_at), UPDATE (ended_at)', 'operation'),
            ('sluice_processor', 'SELECT, UPDATE (done_at, result, before, after)', 'operation_item'),
            ('sluice_processor', 'SELECT, INSERT, UPDATE, DELETE', 'operation_start'),
            ('sluice_processor', 'SELECT, INSERT, UPDATE', 'webhook_handler'),
            ('sluice_processor', 'SELECT, UPDATE (starts, at_item, done_at, answer, problem), DELETE', 'webhook_rehearsal'),
            ('sluice_migrator', 'ALL', 'webhook_handler'),
            ('sluice_migrator', 'ALL', 'webhook_rehearsal'),
            ('sluice_migrator', 'ALL', 'operation_start')
        ) AS g (role, privileges, table_name) JOIN pg_roles ON rolname = g.role
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', item.privileges, item.table_name, item.role);
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = item.table_name::regclass AND polname = item.role) THEN
            EXECUTE format('CREATE POLICY %I ON %I TO %1$I USING (true) WITH CHECK (true)', item.role, item.table_name);
        END IF;
    END LOOP;
END
$rehearsals$;

COMMIT;
