-- no-transaction
-- The indexes by which retention finds what it is about, built while everybody reads and writes:
--   psql "$DATABASE_URL" -f migrations/sprint3_bodies_concurrently.sql      after sprint2_reconcile.sql
-- The Supabase SQL editor puts all into one transaction, where CONCURRENTLY is not allowed: run there the last statements,
-- one by one.
DO $unfinished$
DECLARE
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    FOR item IN SELECT name, table_name, i.indisvalid AS is_valid
                FROM (VALUES ('webhook_logs_column_body', 'webhook_logs'), ('payment_disputed', 'payment'))
                     AS wanted (name, table_name)
                LEFT JOIN pg_index i ON i.indexrelid = to_regclass(wanted.name)
                                    AND i.indrelid = to_regclass(wanted.table_name)
    LOOP
        IF NOT item.is_valid THEN
            EXECUTE format('DROP INDEX %I', item.name);  -- an earlier run was cut off
        END IF;
        INSERT INTO sluice_addition (kind, table_name, name)
        SELECT 'index', item.table_name, item.name WHERE to_regclass(item.name) IS NULL
        ON CONFLICT DO NOTHING;
    END LOOP;
END
$unfinished$;

-- Bodies that are not in a partition: those of before, and those that were kept when their partition went.
CREATE INDEX CONCURRENTLY IF NOT EXISTS webhook_logs_column_body ON webhook_logs (created_at) WHERE body IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS payment_disputed ON payment (scope, payment_id) WHERE status = 'disputed';
