-- no-transaction
-- The indexes on tables that may have been there before, and may be big: built while everybody reads and writes. Run it
-- after the foundation:
--   psql "$DATABASE_URL" -f migrations/sprint1_indexes_concurrently.sql
-- The Supabase SQL editor puts all into one transaction, where CONCURRENTLY is not allowed: run there the last statements,
-- one by one.
-- replaces 20c1647b55c853cd0f6e23b6f76c9787e54b3e10ac6644ea1d06fac2def96b7b
DO $unfinished$
DECLARE
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    FOR item IN SELECT name, table_name, i.indisvalid AS is_valid
                FROM (VALUES ('events_stripe_payment_intent_id', 'events'), ('error_logs_event', 'error_logs'))
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

CREATE INDEX CONCURRENTLY IF NOT EXISTS events_stripe_payment_intent_id ON events (stripe_payment_intent_id);

CREATE INDEX CONCURRENTLY IF NOT EXISTS error_logs_event ON error_logs (coalesce(stripe_event_id, event_id));
