-- read_clock --
-- $1 how long before now() the consumer had passed everything, or NULL; $2 when the message at its ack floor was
-- stored, less a margin, or NULL. What was published before passed_before and not tried is lost.
SELECT greatest(now() - $1::interval, $2::timestamptz) AS passed_before, now() - $3::interval AS overdue_before;

-- claim_due --
-- $1 rows at most  $2 whether to read the whole index, not from queue_watermark on. Tried rows (failed, parked, replayed)
-- whose time has come. The claim holds for a lease that doubles with each publication, up to five minutes.
UPDATE webhook_logs
SET publications = publications + 1,
    published_at = now(),
    next_attempt_at = now() + least(interval '5 minutes', interval '5 seconds' * (2 ^ least(publications, 6)))
WHERE id = ANY (ARRAY(
    SELECT id
    FROM webhook_logs
    WHERE NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at <= now()
        AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark WHERE NOT $2::boolean), '-infinity')
    ORDER BY next_attempt_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))
RETURNING
    stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, tenant, processing_attempts,
    publications, coalesce(extract(epoch FROM stripe_created_at), 0)::bigint AS created,
    coalesce(body_bytes, octet_length(body), 0) AS body_bytes;

-- claim_untried --
-- $1 rows at most  $2 whether to read the whole index  $3 published before. Rows that were published
-- then and never tried; the claim is as above.
UPDATE webhook_logs
SET publications = publications + 1,
    published_at = now(),
    next_attempt_at = now() + least(interval '5 minutes', interval '5 seconds' * (2 ^ least(publications, 6)))
WHERE id = ANY (ARRAY(
    SELECT id
    FROM webhook_logs
    WHERE NOT processed AND dead_at IS NULL AND next_attempt_at <= now()
        AND published_at IS NOT NULL AND published_at < $3
        AND published_at >= coalesce((SELECT untried_from FROM queue_watermark WHERE NOT $2::boolean), '-infinity')
    ORDER BY published_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))
RETURNING
    stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, tenant, processing_attempts,
    publications, coalesce(extract(epoch FROM stripe_created_at), 0)::bigint AS created,
    coalesce(body_bytes, octet_length(body), 0) AS body_bytes;

-- claim_unpublished --
-- $1 stripe_event_ids. New rows whose first publication failed, unless another sweep was quicker; the claim is as above.
UPDATE webhook_logs
SET publications = publications + 1,
    published_at = now(),
    next_attempt_at = now() + least(interval '5 minutes', interval '5 seconds' * (2 ^ least(publications, 6)))
WHERE id = ANY (ARRAY(
    SELECT id
    FROM webhook_logs
    WHERE stripe_event_id = ANY ($1::text[]) AND publications = 1
        AND NOT processed AND dead_at IS NULL AND next_attempt_at <= now()
    FOR UPDATE SKIP LOCKED
))
RETURNING
    stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, tenant, processing_attempts,
    publications, coalesce(extract(epoch FROM stripe_created_at), 0)::bigint AS created,
    coalesce(body_bytes, octet_length(body), 0) AS body_bytes;

-- read_bodies --
-- $1 stripe_event_ids.
WITH log AS MATERIALIZED (
    SELECT stripe_event_id, body, body_id FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[])
)
SELECT log.stripe_event_id, coalesce(log.body, stored.body) AS body
FROM log
LEFT JOIN sluice_bodies(ARRAY(SELECT body_id FROM log WHERE body_id IS NOT NULL)) AS stored ON stored.id = log.body_id;
