-- no-transaction
-- The payments that a row which appears or changes may move. Run it after sprint5_bindings.sql:
--   psql "$DATABASE_URL" -f migrations/sprint5_indexes_concurrently.sql
-- The Supabase SQL editor puts all into one transaction, where CONCURRENTLY is not allowed: run there the last statement alone.
DO $unfinished$
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    IF EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE i.indrelid = to_regclass('payment') AND c.relname = 'payment_open' AND NOT i.indisvalid) THEN
        DROP INDEX payment_open;  -- an earlier run was cut off
    END IF;
END
$unfinished$;

CREATE INDEX CONCURRENTLY IF NOT EXISTS payment_open ON payment (opened_at, scope, payment_id) WHERE opened_at IS NOT NULL;
