-- ping --
SELECT 1;

-- look_at_server --
-- Backends of other roles show no backend_type to us; what has a database and no type is counted as a client.
SELECT
    (SELECT count(*) FROM pg_stat_activity
     WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend') AS connections,
    current_setting('max_connections')::integer AS connections_limit;

-- look_at_schema --
-- The names alone: what is wrong and its cure are for whoever asks the function by hand.
SELECT DISTINCT name FROM sluice_schema_findings() ORDER BY name LIMIT 20;

-- limit_statement --
-- $1 milliseconds. Ends with the transaction, so that it works behind a transaction pooler.
SELECT set_config('statement_timeout', $1, true);

-- count_webhooks --
-- $1 rows counted at most, of each kind. Each half of the backlog reads its own partial index, the oldest entries first:
-- webhook_logs_due (tried, or replayed) and webhook_logs_untried (published and not tried yet).
WITH backlog AS MATERIALIZED (
    (SELECT created_at, processing_attempts, outcome
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NULL
     ORDER BY next_attempt_at
     LIMIT $1)
    UNION ALL
    (SELECT created_at, processing_attempts, outcome
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
     ORDER BY published_at
     LIMIT $1)
), dead AS MATERIALIZED (
    SELECT FROM webhook_logs WHERE dead_at IS NOT NULL AND NOT processed LIMIT $1
)
SELECT
    count(*) AS backlog,
    count(*) FILTER (WHERE processing_attempts > 0 AND outcome IS DISTINCT FROM 'parked') AS failing,
    count(*) FILTER (WHERE outcome = 'parked') AS parked,
    coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE outcome IS DISTINCT FROM 'parked')), 0)::float8
        AS oldest_unprocessed_age_seconds,
    coalesce(extract(epoch FROM now() - min(created_at) FILTER (
        WHERE processing_attempts = 0 AND outcome IS DISTINCT FROM 'parked')), 0)::float8 AS oldest_untried_age_seconds,
    (SELECT count(*) FROM dead) AS dead
FROM backlog;
