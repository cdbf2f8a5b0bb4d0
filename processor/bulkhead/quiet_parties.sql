-- waiting --
-- $1 the loud parties  $2 the newest rows alone, at most so many. Another party with an untried webhook, the platform as
-- ''. What stands behind a flood is newer than the flood; what stands before it comes soon.
SELECT newest.party
FROM (
    SELECT
        coalesce(tenant, stripe_account_id, '') AS party,
        dead_at IS NULL AND parked_at IS NULL AND processing_attempts = 0 AND next_attempt_at < 'infinity' AS is_untried
    FROM webhook_logs
    WHERE NOT processed AND created_at > now() - interval '10 minutes'
    ORDER BY created_at DESC
    LIMIT $2
) AS newest
WHERE newest.is_untried AND NOT newest.party = ANY ($1::text[])
LIMIT 1;
