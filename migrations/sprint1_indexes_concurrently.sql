-- no-transaction
-- The index on the user's own table, which may be big: built while everybody reads and writes. Run it after the foundation:
--   psql "$DATABASE_URL" -f migrations/sprint1_indexes_concurrently.sql
-- The Supabase SQL editor puts all into one transaction, where CONCURRENTLY is not allowed: run there the last statement alone.
DO $unfinished$
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    IF EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE i.indrelid = to_regclass('events') AND c.relname = 'events_stripe_payment_intent_id'
                 AND NOT i.indisvalid) THEN
        DROP INDEX events_stripe_payment_intent_id;  -- an earlier run was cut off
    END IF;
    INSERT INTO sluice_addition (kind, table_name, name)
    SELECT 'index', 'events', 'events_stripe_payment_intent_id'
    WHERE to_regclass('events_stripe_payment_intent_id') IS NULL
    ON CONFLICT DO NOTHING;
END
$unfinished$;

CREATE INDEX CONCURRENTLY IF NOT EXISTS events_stripe_payment_intent_id ON events (stripe_payment_intent_id);
