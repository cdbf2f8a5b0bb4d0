-- ping --
SELECT 1;

-- look_at_server --
-- Backends of other roles show no backend_type to us; what has a database and no type is counted as a client.
SELECT
    (SELECT count(*) FROM pg_stat_activity
     WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend') AS connections,
    current_setting('max_connections')::integer AS connections_limit,
    -- what PostgreSQL must keep dead rows for: a dump, a report, a forgotten BEGIN, a prepared transaction
    greatest(
        (SELECT extract(epoch FROM now() - min(xact_start)) FROM pg_stat_activity
         WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
           AND coalesce(backend_type, 'client backend') = 'client backend'),
        (SELECT extract(epoch FROM now() - min(prepared)) FROM pg_prepared_xacts),
        0
    )::float8 AS oldest_transaction_seconds;

-- look_at_schema --
-- Names only: call the function by hand for the description and the cure of each.
SELECT DISTINCT name FROM sluice_schema_findings() ORDER BY name LIMIT 20;

-- look_at_stripe --
-- An account that has left the platform is listed no more, and is no gap.
SELECT
    count(*) FILTER (WHERE problem IS DISTINCT FROM 'account_closed') AS accounts,
    coalesce(extract(epoch FROM now() - min(complete_until) FILTER (WHERE problem IS DISTINCT FROM 'account_closed')), 0)
        ::float8 AS behind_seconds,
    coalesce(sum(pass_missing + refused), 0)::bigint AS missing,
    count(*) FILTER (WHERE problem IN ('key_missing', 'key_refused', 'right_missing')) AS refused,
    (SELECT count(*) FROM thin_fetch) AS thin_waiting,
    (SELECT coalesce(extract(epoch FROM now() - min(asked_at)), 0)::float8 FROM thin_fetch) AS thin_oldest_age_seconds
FROM reconcile_account
WHERE is_listed;

-- look_at_growth --
-- Tables that grow with the webhooks: rows as PostgreSQL last estimated them, and bytes with indexes. A partition of bodies is
-- listed by itself, with its day.
SELECT
    CASE WHEN c.relispartition THEN 'webhook_body' ELSE c.relname END AS name,
    CASE WHEN c.relispartition THEN (now() AT TIME ZONE 'UTC')::date - to_date(right(c.relname, 8), 'YYYYMMDD') END AS age_days,
    greatest(c.reltuples, 0)::bigint AS rows,
    pg_total_relation_size(c.oid) AS bytes
FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'webhook_logs'::regclass)
  AND (c.relname IN ('webhook_logs', 'webhook_delivery', 'webhook_death', 'error_logs', 'payment', 'payment_fact', 'subscription',
                     'invoice', 'operation_item')
       OR c.relispartition AND c.relname ~ '^webhook_body_[0-9]{8}$');

-- look_at_partitions --
-- For how many days after today there is a partition for bodies; NULL: none was made yet.
SELECT CASE WHEN isfinite(partitions_until) THEN partitions_until - (now() AT TIME ZONE 'UTC')::date - 1 END AS days
FROM body_storage;

-- look_at_pauses --
-- $1 webhooks counted at most.
SELECT
    count(*) AS in_force,
    min(began_at) AS since,
    coalesce(extract(epoch FROM now() - min(began_at)), 0)::float8 AS oldest_age_seconds,
    (SELECT count(*) FROM (SELECT pause_id FROM paused_webhook LIMIT $1) AS held) AS waiting
FROM pause
WHERE ended_at IS NULL AND emptied_at IS NULL;

-- limit_statement --
-- $1 milliseconds. Ends with the transaction, so that it works behind a transaction pooler. Without a sort each index is read
-- in its order, from the mark on; else the planner would read all of another one that looks as small.
SELECT set_config('statement_timeout', $1, true), set_config('enable_sort', 'off', true);

-- count_webhooks --
-- $1 rows counted at most, of each kind. Each half of the backlog reads its own partial index, the oldest entries first:
-- webhook_logs_due (tried, or replayed) and webhook_logs_untried (published and not tried yet), from the mark on.
-- What is paused is no backlog, and what a pause let go waits since then.
WITH backlog AS MATERIALIZED (
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
), dead AS MATERIALIZED (
    SELECT FROM webhook_logs WHERE dead_at IS NOT NULL AND NOT processed ORDER BY dead_at LIMIT $1
)
SELECT
    count(*) AS backlog,
    count(*) FILTER (WHERE processing_attempts > 0 AND outcome IS DISTINCT FROM 'parked') AS failing,
    count(*) FILTER (WHERE outcome = 'parked') AS parked,
    coalesce(extract(epoch FROM now() - min(waits_since) FILTER (WHERE outcome IS DISTINCT FROM 'parked')), 0)::float8
        AS oldest_unprocessed_age_seconds,
    coalesce(extract(epoch FROM now() - min(waits_since) FILTER (
        WHERE processing_attempts = 0 AND outcome IS DISTINCT FROM 'parked')), 0)::float8 AS oldest_untried_age_seconds,
    (SELECT count(*) FROM dead) AS dead
FROM backlog;

-- move_watermark --
-- $1 whether to read the whole indexes, not from the mark on. Sets the mark ten seconds before the first open row of each
-- index, or before now where there is none; a row is committed within seconds of the moment that it bears. At most once a
-- minute, for each version of the row is walked over too.
UPDATE queue_watermark AS m
SET untried_from = least(coalesce(first.published_at, now()), now()) - interval '10 seconds',
    due_from = least(coalesce(first.next_attempt_at, now()), now()) - interval '10 seconds',
    moved_at = now()
FROM (
    SELECT (SELECT w.published_at FROM webhook_logs AS w
            WHERE NOT w.processed AND w.dead_at IS NULL AND w.next_attempt_at IS NOT NULL AND w.published_at IS NOT NULL
              AND w.published_at >= coalesce((SELECT untried_from FROM queue_watermark WHERE NOT $1::boolean), '-infinity')
            ORDER BY w.published_at LIMIT 1) AS published_at,
           (SELECT w.next_attempt_at FROM webhook_logs AS w
            WHERE NOT w.processed AND w.dead_at IS NULL AND w.next_attempt_at IS NOT NULL AND w.published_at IS NULL
              AND w.next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark WHERE NOT $1::boolean), '-infinity')
            ORDER BY w.next_attempt_at LIMIT 1) AS next_attempt_at
) AS first
WHERE m.moved_at < now() - interval '1 minute';
