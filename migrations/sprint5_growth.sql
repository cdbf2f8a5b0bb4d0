-- What keeps the cost of looking flat while a transaction is held open for long (a dump, a report): a mark from which the
-- indexes of open webhooks are read, and vacuum settings for the tables that are written most.
--   psql "$DATABASE_URL" -f migrations/sprint5_growth.sql      after the foundation
-- One transaction, safe to run again.
--
-- Each webhook leaves a dead entry in the indexes of open rows, and PostgreSQL may remove none that an open transaction
-- could see. Whoever reads such an index from its beginning walks over all of them. So healthd keeps the place of the first
-- open row, less a margin, and everybody else begins there. The mark is a help and no truth: the relay reads the whole
-- index every few minutes.
BEGIN;

DO $growth$
DECLARE
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    IF to_regclass(format('%I.queue_watermark', current_schema())) IS NULL THEN
        CREATE TABLE queue_watermark (
            is_only       boolean PRIMARY KEY DEFAULT true CHECK (is_only),
            untried_from  timestamptz NOT NULL DEFAULT '-infinity',  -- published_at of the first row published and not tried
            due_from      timestamptz NOT NULL DEFAULT '-infinity',  -- next_attempt_at of the first row that is tried again
            moved_at      timestamptz NOT NULL DEFAULT '-infinity'
        );
        INSERT INTO queue_watermark DEFAULT VALUES;
        INSERT INTO sluice_addition (kind, table_name) VALUES ('table', 'queue_watermark') ON CONFLICT DO NOTHING;
    END IF;
    ALTER TABLE queue_watermark ENABLE ROW LEVEL SECURITY;
    FOR item IN SELECT 'PUBLIC' AS grantee UNION ALL
                SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
    LOOP
        EXECUTE format('REVOKE ALL ON queue_watermark FROM %s', item.grantee);
    END LOOP;
    FOR item IN
        SELECT g.* FROM (VALUES
            ('sluice_ingest', 'SELECT'),
            ('sluice_processor', 'SELECT'),
            ('sluice_healthd', 'SELECT, UPDATE (untried_from, due_from, moved_at)'),
            ('sluice_migrator', 'ALL')
        ) AS g (role, privileges) JOIN pg_roles ON rolname = g.role
    LOOP
        EXECUTE format('GRANT %s ON queue_watermark TO %I', item.privileges, item.role);
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = 'queue_watermark'::regclass AND polname = item.role) THEN
            EXECUTE format('CREATE POLICY %I ON queue_watermark TO %1$I USING (true) WITH CHECK (true)', item.role);
        END IF;
    END LOOP;

    -- How many webhooks the processors have to do now, counted up to a limit: those published and not tried, and those whose
    -- next attempt is due. KEDA asks it. Without a sort the planner reads each index in its order, from the mark on; else it
    -- would read all of another one that looks as small.
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_count_due(most bigint) RETURNS bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, %I, pg_temp SET enable_sort = off SET enable_seqscan = off AS $function$
    SELECT least(most,
        (SELECT count(*) FROM (
            SELECT FROM webhook_logs
            WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
              AND published_at >= coalesce((SELECT untried_from FROM queue_watermark), '-infinity')
            ORDER BY published_at
            LIMIT most) AS untried)
      + (SELECT count(*) FROM (
            SELECT FROM webhook_logs
            WHERE NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at <= now()
              AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark), '-infinity')
            ORDER BY next_attempt_at
            LIMIT most) AS due))
$function$
    $create$, current_schema());
    FOR item IN SELECT 'PUBLIC' AS grantee UNION ALL
                SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION sluice_count_due(bigint) FROM %s', item.grantee);
    END LOOP;
    FOR item IN SELECT rolname FROM pg_roles WHERE rolname IN ('sluice_healthd', 'sluice_migrator') LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION sluice_count_due(bigint) TO %I', item.rolname);
    END LOOP;

    -- Every webhook writes its row twice: at PostgreSQL's defaults a table of ten million is cleaned after two million.
    -- An earlier application's webhook_logs keeps what its owner has set.
    IF EXISTS (SELECT FROM sluice_addition WHERE kind = 'table' AND table_name = 'webhook_logs') THEN
        ALTER TABLE webhook_logs SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
                                      autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000);
    END IF;
    ALTER TABLE payment SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
                             autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000);
    ALTER TABLE invoice SET (autovacuum_vacuum_scale_factor = 0.02);
    ALTER TABLE subscription SET (autovacuum_vacuum_scale_factor = 0.02);
END
$growth$;

COMMIT;
