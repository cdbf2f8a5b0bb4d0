-- server --
-- Connections of clients, of how many that may be.
SELECT
    current_setting('max_connections')::integer AS allowed,
    (SELECT count(*) FROM pg_stat_activity
     WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend') AS used;

-- applications --
-- Connections by who holds them. A login that may not see others' sessions sees their users alone.
SELECT coalesce(nullif(application_name, ''), usename, 'unnamed') AS application, count(*) AS connections
FROM pg_stat_activity
WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT 20;

-- transactions --
-- Sessions of this database with an open transaction, the oldest first, and whom each waits for.
SELECT
    pid, usename::text AS login, coalesce(application_name, '') AS application, state,
    extract(epoch FROM now() - xact_start)::float8 AS open_seconds,
    coalesce(wait_event_type = 'Lock', false) AS waits_for_lock, pg_blocking_pids(pid) AS waits_for,
    left(query, 60) AS query
FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY xact_start
LIMIT $1;

-- prepared --
-- Prepared transactions, which no session holds any more.
SELECT gid, owner::text AS login, extract(epoch FROM now() - prepared)::float8 AS open_seconds
FROM pg_prepared_xacts
WHERE database = current_database()
ORDER BY prepared
LIMIT $1;

-- may_see --
-- Whether others' sessions are shown in full.
SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS may_see;
