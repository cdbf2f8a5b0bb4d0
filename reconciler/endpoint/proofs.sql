-- last_seen --
-- $1 most rows read of each table. When each secret of the platform's last verified a webhook, in seconds since the epoch.
SELECT seen.verified_by, extract(epoch FROM max(seen.at))::float8 AS last_at
FROM (
    (SELECT log.verified_by, log.created_at AS at FROM webhook_logs AS log ORDER BY log.created_at DESC LIMIT $1)
    UNION ALL
    (SELECT repeat.verified_by, repeat.received_at AS at FROM webhook_delivery AS repeat ORDER BY repeat.id DESC LIMIT $1)
) AS seen
WHERE starts_with(seen.verified_by, 'platform:')
GROUP BY seen.verified_by;

-- reach --
-- $1 as above. How far back that looks, in seconds since the epoch; NULL: over the whole log. And whether webhooks of
-- connected accounts come; and PostgreSQL's clock.
SELECT CASE WHEN count(*) >= $1 THEN extract(epoch FROM min(newest.created_at))::float8 END AS since,
       coalesce(bool_or(newest.stripe_account_id IS NOT NULL AND newest.tenant IS NULL), false) AS has_connected,
       extract(epoch FROM clock_timestamp())::float8 AS now
FROM (
    SELECT log.created_at, log.stripe_account_id, log.tenant FROM webhook_logs AS log ORDER BY log.created_at DESC LIMIT $1
) AS newest;
