-- look --
-- $1 the most to count, of each kind. Each half of the backlog is read from a partial index of its own, from where healthd saw
-- the first open row; the last hour from its newest webhook back.
WITH open AS MATERIALIZED (
    (SELECT created_at, processing_attempts, outcome
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NULL
       AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark), '-infinity')
     ORDER BY next_attempt_at
     LIMIT $1)
    UNION ALL
    (SELECT created_at, processing_attempts, outcome
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
       AND published_at >= coalesce((SELECT untried_from FROM queue_watermark), '-infinity')
     ORDER BY published_at
     LIMIT $1)
), recent AS MATERIALIZED (
    SELECT processed
    FROM webhook_logs
    WHERE created_at >= now() - interval '1 hour'
    ORDER BY created_at DESC
    LIMIT $1
)
SELECT
    count(*) AS backlog,
    coalesce(extract(epoch FROM now() - min(created_at)
        FILTER (WHERE outcome IS DISTINCT FROM 'parked'))::float8, 0) AS oldest_unprocessed_age_seconds,
    count(*) FILTER (WHERE outcome = 'failed') AS failing,
    count(*) FILTER (WHERE outcome = 'parked') AS parked,
    (SELECT count(*) FROM (
        SELECT FROM webhook_logs WHERE dead_at IS NOT NULL AND NOT processed ORDER BY dead_at LIMIT $1) AS given_up) AS dead,
    (SELECT count(*) FROM recent) AS received_last_hour,
    (SELECT count(*) FROM recent WHERE processed) AS processed_last_hour
FROM open;

-- read_in_order --
-- Without a sort each index is read in its order, from the mark on. Ends with the transaction.
SELECT set_config('enable_sort', 'off', true);

-- count_errors --
SELECT severity, count(*) AS rows
FROM error_logs
WHERE NOT resolved
GROUP BY severity;

-- count_connections --
SELECT count(*) FILTER (WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)) AS used,
       current_setting('max_connections')::int AS allowed
FROM pg_stat_activity;

-- look_back --
-- $1 window in seconds.
SELECT
    extract(epoch FROM now() - (SELECT min(created_at) FROM webhook_logs))::float8 AS observed_seconds,
    count(*) AS received,
    count(*) FILTER (WHERE processed) AS processed,
    count(*) FILTER (WHERE processed AND processing_attempts > 0 AND parked_at IS NULL) AS recovered
FROM webhook_logs
WHERE created_at >= now() - make_interval(secs => $1);

-- count_failures --
-- $1 window in seconds. What is failing now counts whenever it was received; what died counts when it died.
SELECT
    count(*) FILTER (WHERE dead_at >= now() - make_interval(secs => $1)) AS died,
    count(*) FILTER (WHERE dead_at IS NULL AND outcome = 'failed') AS failing,
    count(*) FILTER (
        WHERE dead_at >= now() - make_interval(secs => $1)
        AND NOT EXISTS (SELECT FROM error_logs AS e
                        WHERE e.event_id = w.stripe_event_id
                        AND e.created_at >= w.dead_at - interval '1 hour')
    ) AS died_in_silence
FROM webhook_logs AS w
WHERE NOT processed;

-- count_reported --
-- $1 window in seconds.
SELECT count(*) AS rows FROM error_logs WHERE created_at >= now() - make_interval(secs => $1);
