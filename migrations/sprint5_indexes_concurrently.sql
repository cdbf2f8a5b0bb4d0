-- no-transaction
-- The payments that a row which appears or changes may move, and the errors of one webhook. Run it after sprint5_bindings.sql and sprint5_health.sql:
--   psql "$DATABASE_URL" -f migrations/sprint5_indexes_concurrently.sql
-- The Supabase SQL editor puts all into one transaction, where CONCURRENTLY is not allowed: run there the last statements, one by one.
DO $unfinished$
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    IF EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE i.indrelid = to_regclass('payment') AND c.relname = 'payment_open' AND NOT i.indisvalid) THEN
        DROP INDEX payment_open;  -- an earlier run was cut off
    END IF;
    IF EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE i.indrelid = to_regclass('error_logs') AND c.relname = 'error_logs_event' AND NOT i.indisvalid) THEN
        DROP INDEX error_logs_event;
    END IF;
    INSERT INTO sluice_addition (kind, table_name, name)
    SELECT 'index', 'error_logs', 'error_logs_event'
    WHERE to_regclass('error_logs_event') IS NULL
    ON CONFLICT DO NOTHING;
END
$unfinished$;

CREATE INDEX CONCURRENTLY IF NOT EXISTS payment_open ON payment (opened_at, scope, payment_id) WHERE opened_at IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS error_logs_event ON error_logs (coalesce(stripe_event_id, event_id));
