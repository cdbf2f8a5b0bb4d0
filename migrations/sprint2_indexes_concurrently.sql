-- no-transaction
-- From a refund, dispute, charge or session to its payment without reading the whole ledger. A summary of each quarter of a
-- megabyte, not an entry for each fact, so that writing a fact costs no more than before. Run it after the foundation:
--   psql "$DATABASE_URL" -f migrations/sprint2_indexes_concurrently.sql
-- The Supabase SQL editor puts all into one transaction, where CONCURRENTLY is not allowed: run there the last statement alone.
DO $unfinished$
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    IF EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE i.indrelid = to_regclass('payment_fact') AND c.relname = 'payment_fact_object'
                 AND NOT i.indisvalid) THEN
        DROP INDEX payment_fact_object;  -- an earlier run was cut off
    END IF;
END
$unfinished$;

CREATE INDEX CONCURRENTLY IF NOT EXISTS payment_fact_object ON payment_fact
    USING brin (object_id text_bloom_ops (n_distinct_per_range = 1500))
    WITH (pages_per_range = 32, autosummarize = on);
