-- count_acknowledged --
-- $1 begin  $2 end. Webhooks by the minute in which they were recorded; their 200 follows at once.
SELECT date_trunc('minute', created_at)::timestamptz AS minute, count(*) AS count
FROM webhook_logs
WHERE created_at >= $1 AND created_at < $2
GROUP BY 1;

-- count_effects --
-- $1 begin  $2 end. Webhooks by the minute in which they were processed.
SELECT date_trunc('minute', processed_at)::timestamptz AS minute, count(*) AS count
FROM webhook_logs
WHERE processed_at >= $1 AND processed_at < $2
GROUP BY 1;
