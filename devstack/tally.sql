-- progress --
-- $1 the most to count. A short look at the whole: it stays cheap however large the table grows.
SELECT
    (SELECT count(*) FROM (SELECT FROM webhook_logs LIMIT $1) AS counted) AS logged,
    (
        SELECT count(*) FROM (
            SELECT FROM webhook_logs
            WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL
            LIMIT $1
        ) AS counted
    ) AS backlog,
    (SELECT count(*) FROM (SELECT FROM webhook_logs WHERE dead_at IS NOT NULL LIMIT $1) AS counted) AS dead;

-- is_migrated --
SELECT to_regclass('webhook_logs') IS NOT NULL;
