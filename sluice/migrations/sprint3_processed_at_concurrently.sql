-- no-transaction
-- By when webhooks took effect, for the console's picture of the last hours. A summary of each 32 pages, so that settling a
-- batch writes nothing more than before. Run it after the foundation:
--   psql "$DATABASE_URL" -f migrations/sprint3_processed_at_concurrently.sql
-- In the Supabase SQL editor run the last statement alone.
DO $unfinished$
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('webhook_logs_processed_at') AND NOT indisvalid) THEN
        DROP INDEX webhook_logs_processed_at;  -- an earlier run was cut off
    END IF;
    INSERT INTO sluice_addition (kind, table_name, name)
    SELECT 'index', 'webhook_logs', 'webhook_logs_processed_at' WHERE to_regclass('webhook_logs_processed_at') IS NULL
    ON CONFLICT DO NOTHING;
END
$unfinished$;

CREATE INDEX CONCURRENTLY IF NOT EXISTS webhook_logs_processed_at ON webhook_logs USING brin (processed_at)
WITH (pages_per_range = 32, autosummarize = on);
