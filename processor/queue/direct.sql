-- lease --
-- $1 id of the new lease  $2 leases that are finished  $3 webhooks at most  $4 how long each has waited at least
-- $5 how long the lease holds  $6 how long leases that ran out hold yet  $7 how far back to look for those
-- $8 untried rows from then on  $9 tried rows from then on. See
-- migrations/functions/sluice_lease_webhooks.sql.
SELECT stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant,
       processing_attempts, is_suspect, untried_from, tried_from, now() AS asked_at
FROM sluice_lease_webhooks($1, $2::text[], $3, $4::interval, $5::interval, $6::interval, $7::interval, $8, $9);

-- release --
-- $1 leases that are finished.
DELETE FROM processing_lease WHERE id = ANY ($1::text[]);

-- renew --
-- $1 leases  $2 how long they hold from now on.
UPDATE processing_lease SET expires_at = now() + $2::interval WHERE id = ANY ($1::text[]);

-- count_waiting --
-- $1 untried rows from then on  $2 how long they have waited at least  $3 tried rows from then on  $4 how long these have
-- been due at least  $5 rows counted at most, of each kind. From where on the next count needs to look, NULL: from now.
WITH untried AS MATERIALIZED (
    SELECT published_at
    FROM webhook_logs
    WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
        AND published_at >= $1 AND published_at <= now() - $2::interval
    ORDER BY published_at
    LIMIT $5
), tried AS MATERIALIZED (
    SELECT next_attempt_at
    FROM webhook_logs
    WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NULL
        AND next_attempt_at >= $3 AND next_attempt_at <= now() - $4::interval
    ORDER BY next_attempt_at
    LIMIT $5
)
SELECT (SELECT count(*) FROM untried) + (SELECT count(*) FROM tried) AS waiting,
       (SELECT min(published_at) FROM untried) AS untried_from,
       (SELECT min(next_attempt_at) FROM tried) AS tried_from,
       now() AS asked_at;
