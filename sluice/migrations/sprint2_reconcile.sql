-- What the reconciler keeps: how far each Stripe account is known to be complete, which webhooks it found, which thin
-- events wait for it, and how far each backfill of objects got; its role and its rights.
--   psql "$DATABASE_URL" -f migrations/sprint2_reconcile.sql      after the foundation, before functions.sql
-- replaces 5146564c4a0b3ac5d0ca35635c33387b7908cf2bfc9d169bb874e8e880328132
-- replaces d809734636f1683055e5b46cebc16db5941daa644ae614cdc203a3999d1ed3a1
-- replaces 125626ecc2423ce80da5e51ba093a43207e43247621c5ffc58a517c5fea05390
-- replaces fe7dbf35a21724eaed100e74d75b33b2388a3eb090760bd8453b2731d13dc3ce
-- replaces de4cc48d7760b5e5202acfc645d70c13856a03c69899c0b4f0fb39bda3518fe6
-- replaces 22a86db505aa340b764e2efae9ea6af3c765b856b08f3fdeb5b3ea61d143f517
-- replaces 125626ecc2423ce80da5e51ba093a43207e43247621c5ffc58a517c5fea05390
-- One transaction, safe to run again. Services of the release before go on with it as they are.
BEGIN;

DO $reconcile$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    new_tables text[] := ARRAY['reconcile_account', 'reconcile_lease', 'webhook_found', 'thin_fetch', 'backfill_walk'];
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

    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_reconciler') THEN
        BEGIN
            CREATE ROLE sluice_reconciler NOLOGIN;
            INSERT INTO sluice_addition (kind, name) VALUES ('role', 'sluice_reconciler') ON CONFLICT DO NOTHING;
        EXCEPTION
            WHEN insufficient_privilege THEN NULL;  -- the warning at the end says what to run
            WHEN duplicate_object OR unique_violation THEN NULL;  -- made at this moment from another database
        END;
    END IF;

    -- One row for each account in each mode that is listed. Times are Stripe's.
    CREATE TABLE IF NOT EXISTS reconcile_account (
        livemode             boolean NOT NULL,
        account              text NOT NULL,         -- acct_… of a connected account, or platform
        complete_until       timestamptz NOT NULL,  -- what Stripe created before is in webhook_logs
        newest_id            text,                  -- the newest event that the last pass saw
        passed_at            timestamptz,           -- when that pass ended, by our clock; NULL: there was none
        filled               bigint NOT NULL DEFAULT 0,   -- webhooks that had not arrived and were recorded, ever
        refused              integer NOT NULL DEFAULT 0,  -- of the last pass: what could not be recorded
        pass_from            timestamptz,           -- the pass under way; NULL: none is
        pass_until           timestamptz,
        pass_cursor          text,
        pass_newest_id       text,
        pass_listed          bigint NOT NULL DEFAULT 0,
        pass_missing         bigint NOT NULL DEFAULT 0,
        pass_refused         integer NOT NULL DEFAULT 0,
        pass_oldest_missing  timestamptz,
        problem              text,                  -- why the newest pass did not get on; NULL: it did
        problem_text         text,
        problem_since        timestamptz,
        updated_at           timestamptz NOT NULL DEFAULT now(),
        is_listed            boolean NOT NULL DEFAULT true,  -- false: left out now; the watermark stays for its return
        thin_complete_until  timestamptz,           -- as complete_until, of events that are thin alone; NULL: never listed
        open_ids             text[] NOT NULL DEFAULT '{}',  -- events that PostgreSQL refused, until they are in webhook_logs
        open_since           timestamptz,           -- when the first of those was refused; NULL: there is none
        PRIMARY KEY (livemode, account)
    );
    ALTER TABLE reconcile_account ADD COLUMN IF NOT EXISTS is_listed boolean NOT NULL DEFAULT true;
    ALTER TABLE reconcile_account ADD COLUMN IF NOT EXISTS thin_complete_until timestamptz;
    ALTER TABLE reconcile_account ADD COLUMN IF NOT EXISTS open_ids text[] NOT NULL DEFAULT '{}';
    ALTER TABLE reconcile_account ADD COLUMN IF NOT EXISTS open_since timestamptz;
    -- Which reconciler works.
    CREATE TABLE IF NOT EXISTS reconcile_lease (
        is_only  boolean PRIMARY KEY DEFAULT true CHECK (is_only),
        holder   text NOT NULL DEFAULT '',
        until    timestamptz NOT NULL DEFAULT '-infinity'
    );
    INSERT INTO reconcile_lease DEFAULT VALUES ON CONFLICT DO NOTHING;
    -- Each webhook that Stripe's API gave, because none had brought it.
    CREATE TABLE IF NOT EXISTS webhook_found (
        stripe_event_id  text PRIMARY KEY,
        source           text NOT NULL,             -- reconcile: listed; thin: the full event of a thin one; backfill: an object
        asked_by         text,                      -- the thin event
        found_at         timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX IF NOT EXISTS webhook_found_recent ON webhook_found (found_at);
    -- Each thin event that waits for its full event.
    CREATE TABLE IF NOT EXISTS thin_fetch (
        stripe_event_id  text PRIMARY KEY,
        asked_at         timestamptz NOT NULL DEFAULT now(),
        tries            integer NOT NULL DEFAULT 0,
        next_try_at      timestamptz NOT NULL DEFAULT now(),
        problem          text
    );
    CREATE INDEX IF NOT EXISTS thin_fetch_due ON thin_fetch (next_try_at);
    -- How far `sluice backfill` got with each list of objects. Times are Stripe's.
    CREATE TABLE IF NOT EXISTS backfill_walk (
        livemode    boolean NOT NULL,
        account     text NOT NULL,         -- acct_… of a connected account, or platform
        kind        text NOT NULL,         -- payment_intents, charges, …
        since       timestamptz NOT NULL,  -- how far back it is to go
        until       timestamptz NOT NULL,  -- when it began
        reached     timestamptz,           -- what was created from then to until is recorded; NULL: there was nothing
        listed      bigint NOT NULL,
        filled      bigint NOT NULL,       -- objects whose state was not recorded before
        refused     bigint NOT NULL,
        ended_at    timestamptz,           -- NULL: it goes on when it is run again
        updated_at  timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (livemode, account, kind)
    );
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
            ('sluice_reconciler', 'SELECT (id, stripe_event_id, body, tenant, livemode, stripe_account_id, '
                'verified_by, created_at, outcome), '
                'INSERT (stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, '
                'stripe_created_at, tenant, body, verified_by, next_attempt_at, published_at, publications)', 'webhook_logs'),
            ('sluice_reconciler', 'SELECT (id, verified_by, received_at)', 'webhook_delivery'),
            ('sluice_reconciler', 'SELECT (scope)', 'payment'),
            ('sluice_reconciler', 'SELECT (id, stripe_account_id)', 'events'),
            ('sluice_reconciler', 'INSERT', 'error_logs'),
            ('sluice_reconciler', 'SELECT, INSERT, UPDATE', 'reconcile_account'),
            ('sluice_reconciler', 'SELECT, UPDATE (holder, until)', 'reconcile_lease'),
            ('sluice_reconciler', 'SELECT, INSERT', 'webhook_found'),
            ('sluice_reconciler', 'SELECT, UPDATE (tries, next_try_at, problem)', 'thin_fetch'),
            ('sluice_reconciler', 'SELECT, INSERT, UPDATE', 'backfill_walk'),
            ('sluice_reconciler', 'SELECT (ended_at, status)', 'health_verdict'),
            ('sluice_reconciler', 'SELECT', 'sluice_migration'),
            ('sluice_processor', 'SELECT, INSERT', 'thin_fetch'),
            ('sluice_healthd', 'SELECT', 'reconcile_account'),
            ('sluice_healthd', 'SELECT', 'thin_fetch'),
            ('sluice_healthd', 'SELECT (source, found_at)', 'webhook_found'),
            ('sluice_migrator', 'ALL', 'reconcile_account'),
            ('sluice_migrator', 'ALL', 'reconcile_lease'),
            ('sluice_migrator', 'ALL', 'webhook_found'),
            ('sluice_migrator', 'ALL', 'thin_fetch'),
            ('sluice_migrator', 'ALL', 'backfill_walk')
        ) AS g (role, privileges, table_name) JOIN pg_roles ON rolname = g.role
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', item.privileges, item.table_name, item.role);
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = item.table_name::regclass AND polname = item.role) THEN
            EXECUTE format('CREATE POLICY %I ON %I TO %1$I USING (true) WITH CHECK (%3$s)', item.role, item.table_name,
                           CASE WHEN item.role = 'sluice_reconciler' AND item.table_name = 'webhook_logs'
                                THEN 'verified_by = ''api''' ELSE 'true' END);  -- it can sign nothing, and says so
        END IF;
    END LOOP;
    FOR item IN
        SELECT 'USAGE ON SEQUENCE ' || s.oid::regclass AS privilege  -- an earlier application's serial ids
        FROM pg_attrdef a
        JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
        WHERE a.adrelid IN ('webhook_logs'::regclass, 'error_logs'::regclass)
        UNION ALL
        SELECT DISTINCT 'USAGE ON SCHEMA ' || quote_ident(nspname) FROM pg_namespace
        WHERE oid IN (current_schema()::regnamespace, (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass))
    LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_reconciler') THEN
            EXECUTE format('GRANT %s TO sluice_reconciler', item.privilege);
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_reconciler') THEN
        REVOKE DELETE ON reconcile_account FROM sluice_reconciler;  -- 0.2.0 had given it
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_reconciler') THEN
        RAISE WARNING 'The role sluice_reconciler does not exist: CREATE ROLE sluice_reconciler NOLOGIN; then run this file again.';
    END IF;
END
$reconcile$;

COMMIT;
