-- The processor calls most of these with every batch, with plans that are made once (plan_cache_mode): planning took
-- longer than the statements. A plan that is kept must be right for every size of every table, and the planner prefers
-- whatever is small on the day. So, where such a plan is kept:
--   - each row is looked up by its key; LATERAL … OFFSET 0 keeps that from becoming a join of whole tables;
--   - an UPDATE finds its row by = ANY (ARRAY[key]): unlike = that can be neither hashed nor merged, only looked up;
--   - no look-up can use another index than that of its key: a condition that would let the planner read all of a partial
--     index, or all that begins alike in another one, is written so that it does not see it (CASE, || '', a comparison of
--     rows, or outside OFFSET 0);
--   - enable_seqscan = off keeps an empty table from being read whole for good.
-- Each of them is VOLATILE, so each statement in it sees what is committed as that statement begins (READ COMMITTED), just
-- as if it were sent by itself. https://www.postgresql.org/docs/current/xfunc-volatility.html
--
-- All run with the rights of whoever calls them, but for those that say SECURITY DEFINER. The search_path of each is set
-- at the end.
BEGIN;

DO $begin$
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);  -- a busy table is waited for briefly, not queued in front of
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));
END
$begin$;
