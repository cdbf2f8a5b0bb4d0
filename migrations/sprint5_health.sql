-- What healthd saw over time, every death of a webhook, the load tests, and errors that name Stripe's id beside the row's.
--   psql "$DATABASE_URL" -f migrations/sprint5_health.sql      after sprint5_bindings.sql
-- One transaction, safe to run again. Services of the release before go on with it as they are.
--
-- A trigger notes each death (webhook_death): a write-off or a replay clears webhook_logs.dead_at, and whoever asks later
-- how the last two days were must still see it. It runs with the rights of the table's owner; nobody else may write there.
BEGIN;

DO $health$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    new_tables text[] := ARRAY['webhook_death', 'health_verdict', 'webhook_load_test'];
    missing text[] := ARRAY(SELECT t FROM unnest(new_tables) AS t WHERE to_regclass(quote_ident(t)) IS NULL);
    had_stripe_event_id boolean := EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = 'error_logs'::regclass AND attname = 'stripe_event_id' AND NOT attisdropped);
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

    -- error_logs.event_id is events.id, as the founding document means it; Stripe's id has a column of its own.
    ALTER TABLE error_logs ADD COLUMN IF NOT EXISTS stripe_event_id text;
    IF NOT had_stripe_event_id THEN
        IF NOT EXISTS (SELECT FROM sluice_addition WHERE kind = 'table' AND table_name = 'error_logs') THEN
            INSERT INTO sluice_addition (kind, table_name, name) VALUES ('column', 'error_logs', 'stripe_event_id')
            ON CONFLICT DO NOTHING;
        END IF;
        UPDATE error_logs
        SET stripe_event_id = event_id, event_id = nullif(split_part(event_id, '@', 2), '')
        WHERE event_id ~ '^evt_' AND service IS NOT NULL;  -- an earlier application's rows stay as they are
    END IF;

    -- Each time that a webhook died, whatever became of it since. Append-only.
    CREATE TABLE IF NOT EXISTS webhook_death (
        id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stripe_event_id  text NOT NULL,
        outcome          text,
        died_at          timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX IF NOT EXISTS webhook_death_recent ON webhook_death (died_at);

    -- What one healthd answered during one stretch of time, a minute at most. Append-only; healthd deletes what is old.
    CREATE TABLE IF NOT EXISTS health_verdict (
        id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        healthd        text NOT NULL,          -- one for each start of each healthd
        began_at       timestamptz NOT NULL,
        ended_at       timestamptz NOT NULL,
        status         text NOT NULL,          -- healthy, degraded (200); unknown, unhealthy (503)
        reasons        text[] NOT NULL,        -- all that were seen in that time
        pool_timeouts  integer NOT NULL,       -- waits for a connection that timed out, in all services
        errors_lost    integer NOT NULL        -- reports that did not become rows of error_logs, in all services
    );
    CREATE INDEX IF NOT EXISTS health_verdict_ended ON health_verdict (ended_at);

    -- sluice send --burst. Append-only.
    CREATE TABLE IF NOT EXISTS webhook_load_test (
        id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        ended_at         timestamptz NOT NULL DEFAULT now(),
        connections      integer NOT NULL,     -- at once
        sent             integer NOT NULL,
        accepted         integer NOT NULL,     -- answered 2xx at the first try
        slowest_seconds  double precision NOT NULL
    );

    INSERT INTO sluice_addition (kind, table_name) SELECT 'table', t FROM unnest(missing) AS t ON CONFLICT DO NOTHING;

    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_note_death() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, %I, pg_temp AS $function$
BEGIN
    INSERT INTO webhook_death (stripe_event_id, outcome, died_at) VALUES (NEW.stripe_event_id, NEW.outcome, NEW.dead_at);
    RETURN NULL;
END
$function$
    $create$, current_schema());

    -- Tables and function are the owner's of webhook_logs: nobody else's, should a superuser run this.
    IF owner <> current_user::regrole THEN
        BEGIN
            EXECUTE format('ALTER FUNCTION sluice_note_death() OWNER TO %s', owner);
            FOR item IN SELECT t AS name FROM unnest(missing) AS t LOOP
                EXECUTE format('ALTER TABLE %I OWNER TO %s', item.name, owner);
            END LOOP;
        EXCEPTION WHEN insufficient_privilege THEN NULL;  -- whoever may alter the table has the owner's rights already
        END;
    END IF;

    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'webhook_logs'::regclass AND tgname = 'sluice_death') THEN
        CREATE TRIGGER sluice_death AFTER UPDATE OF dead_at ON webhook_logs FOR EACH ROW
            WHEN (NEW.dead_at IS NOT NULL AND NEW.dead_at IS DISTINCT FROM OLD.dead_at)
            EXECUTE FUNCTION sluice_note_death();
        -- What died before: the dead of now, and those that only their error row remembers.
        INSERT INTO webhook_death (stripe_event_id, outcome, died_at)
        SELECT stripe_event_id, outcome, dead_at FROM webhook_logs WHERE dead_at IS NOT NULL;
        INSERT INTO webhook_death (stripe_event_id, outcome, died_at)
        SELECT e.stripe_event_id, substring(e.message FROM ' is dead \((\w+)\)'), e.created_at
        FROM error_logs e
        WHERE e.severity = 'critical' AND e.message LIKE '% is dead (%' AND e.stripe_event_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM webhook_death d WHERE d.stripe_event_id = e.stripe_event_id
                          AND d.died_at BETWEEN e.created_at - interval '1 hour' AND e.created_at + interval '1 hour');
    END IF;

    -- Rights: nobody's to begin with, then what each role needs.
    FOR item IN SELECT o.object, g.grantee
                FROM (SELECT 'TABLE ' || quote_ident(t) FROM unnest(new_tables) AS t
                      UNION ALL
                      SELECT 'SEQUENCE ' || quote_ident(t || '_id_seq') FROM unnest(new_tables) AS t
                      UNION ALL
                      SELECT 'FUNCTION sluice_note_death()') AS o (object),
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
            ('sluice_healthd', 'SELECT, INSERT, DELETE', 'health_verdict'),
            ('sluice_healthd', 'SELECT (outcome, died_at)', 'webhook_death'),
            ('sluice_healthd', 'SELECT', 'webhook_load_test'),
            ('sluice_migrator', 'ALL', 'health_verdict'),
            ('sluice_migrator', 'ALL', 'webhook_death'),
            ('sluice_migrator', 'ALL', 'webhook_load_test')
        ) AS g (role, privileges, table_name) JOIN pg_roles ON rolname = g.role
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', item.privileges, item.table_name, item.role);
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = item.table_name::regclass AND polname = item.role) THEN
            EXECUTE format('CREATE POLICY %I ON %I TO %1$I USING (true) WITH CHECK (true)', item.role, item.table_name);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_healthd') THEN
        RAISE WARNING 'The role sluice_healthd does not exist: make it, then run the foundation and this file again.';
    END IF;
END
$health$;

COMMIT;
