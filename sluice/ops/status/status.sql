-- look --
-- $1 the most to count, of each kind. Each half of the backlog is read from a partial index of its own, from where healthd saw
-- the first open row; the last hour from its newest webhook back. What is paused is no backlog.
WITH open AS MATERIALIZED (
    (SELECT greatest(created_at, resumed_at) AS waits_since, processing_attempts, outcome
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at < 'infinity' AND published_at IS NULL
       AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark), '-infinity')
     ORDER BY next_attempt_at
     LIMIT $1)
    UNION ALL
    (SELECT greatest(created_at, resumed_at), processing_attempts, outcome
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
    coalesce(extract(epoch FROM now() - min(waits_since)
        FILTER (WHERE outcome IS DISTINCT FROM 'parked'))::float8, 0) AS oldest_unprocessed_age_seconds,
    count(*) FILTER (WHERE outcome = 'failed') AS failing,
    count(*) FILTER (WHERE outcome = 'parked') AS parked,
    (SELECT count(*) FROM (
        SELECT FROM webhook_logs WHERE dead_at IS NOT NULL AND NOT processed ORDER BY dead_at LIMIT $1) AS given_up) AS dead,
    (SELECT count(*) FROM (SELECT pause_id FROM paused_webhook LIMIT $1) AS held) AS paused,
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
-- $1 window in seconds. What is failing now counts whenever it was received; what died counts when it died, whatever
-- became of it since. Services of a release before wrote Stripe's id into error_logs.event_id.
WITH death AS (
    SELECT stripe_event_id, died_at FROM webhook_death WHERE died_at >= now() - make_interval(secs => $1)
    UNION
    SELECT stripe_event_id, dead_at FROM webhook_logs WHERE dead_at >= now() - make_interval(secs => $1)
)
SELECT
    count(*) AS died,
    (SELECT count(*) FROM webhook_logs WHERE NOT processed AND dead_at IS NULL AND outcome = 'failed') AS failing,
    count(*) FILTER (
        WHERE NOT EXISTS (SELECT FROM error_logs AS e
                          WHERE d.stripe_event_id = coalesce(e.stripe_event_id, e.event_id)
                          AND e.created_at >= d.died_at - interval '1 hour'
                          AND e.severity <> 'info')  -- an operator's note tells of no death
    ) AS died_in_silence
FROM death AS d;

-- look_at_record --
-- $1 window in seconds  $2 seconds without a row that are a restart and no gap. What healthd put on record.
WITH wanted AS (
    SELECT now() - make_interval(secs => $1) AS since
), seen AS (
    SELECT v.*, tstzrange(greatest(began_at, since), greatest(ended_at, since)) AS stretch,
           status NOT IN ('healthy', 'degraded') AS is_red
    FROM health_verdict AS v, wanted
    WHERE ended_at >= since
), gap AS (
    SELECT unnest(
        tstzmultirange(tstzrange(since, now()))
        - coalesce((SELECT range_agg(tstzrange(began_at, ended_at + make_interval(secs => $2)))
                    FROM seen), '{}')
    ) AS stretch
    FROM wanted
), red AS (
    SELECT unnest(range_agg(stretch)) AS stretch FROM seen WHERE is_red
), exhausted AS (
    SELECT unnest(range_agg(stretch)) AS stretch FROM seen WHERE 'pool_exhausted' = ANY (reasons)
)
SELECT
    coalesce((SELECT extract(epoch FROM sum(upper(stretch) - lower(stretch))) FROM red), 0)::float8 AS red_seconds,
    (SELECT min(lower(stretch)) FROM red) AS red_since,
    coalesce((SELECT array_agg(DISTINCT reason ORDER BY reason) FROM seen, unnest(reasons) AS reason WHERE is_red), '{}')
        AS red_reasons,
    coalesce((SELECT extract(epoch FROM sum(upper(stretch) - lower(stretch))) FROM exhausted), 0)::float8
        AS exhausted_seconds,
    coalesce((SELECT max(timeouts) FROM (SELECT sum(pool_timeouts) AS timeouts FROM seen GROUP BY healthd) AS each), 0)
        ::bigint AS pool_timeouts,
    coalesce((SELECT max(lost) FROM (SELECT sum(errors_lost) AS lost FROM seen GROUP BY healthd) AS each), 0)::bigint
        AS errors_lost,
    coalesce((SELECT extract(epoch FROM sum(upper(stretch) - lower(stretch))) FROM gap), 0)::float8 AS gap_seconds,
    (SELECT min(lower(stretch)) FROM gap) AS gap_since,
    (SELECT count(*) FROM seen) AS stretches;

-- read_load_test --
-- $1 window in seconds. The newest, and whether it is of that time.
SELECT ended_at AS at, connections, sent, accepted, slowest_seconds,
       ended_at >= now() - make_interval(secs => $1) AS is_recent
FROM webhook_load_test
ORDER BY ended_at DESC
LIMIT 1;

-- count_reported --
-- $1 window in seconds.
SELECT count(*) AS rows FROM error_logs WHERE created_at >= now() - make_interval(secs => $1);

-- look_at_accounts --
-- The accounts that are furthest behind, at most twenty.
SELECT CASE WHEN livemode THEN 'live' ELSE 'test' END AS mode, account, complete_until,
       extract(epoch FROM now() - complete_until)::float8 AS behind_seconds, filled,
       pass_missing + refused AS missing, problem_text AS problem
FROM reconcile_account
WHERE is_listed
ORDER BY problem IS NULL, complete_until, account
LIMIT 20;

-- count_thin --
SELECT count(*) FROM thin_fetch;

-- look_at_schema --
-- Faults of the schema, each with the statement that mends it.
SELECT name, finding, cure FROM sluice_schema_findings() ORDER BY name, finding LIMIT 20;
