-- record_new --
INSERT INTO webhook_logs (
    stripe_event_id, webhook_type, stripe_created_at, livemode, stripe_account_id, api_version, object_id, tenant,
    verified_by, body, next_attempt_at, published_at, publications
)
SELECT
    stripe_event_id, webhook_type, to_timestamp(created), livemode, stripe_account_id, api_version, object_id,
    tenant, verified_by, body, CASE WHEN $11 THEN now() + interval '5 seconds' ELSE now() END,
    CASE WHEN $11 THEN now() END, CASE WHEN $11 THEN 1 ELSE 0 END
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bytea[]
) AS webhook (
    stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant, verified_by,
    body
)
WHERE (SELECT log.id FROM webhook_logs AS log WHERE log.stripe_event_id = webhook.stripe_event_id) IS NULL
ON CONFLICT (stripe_event_id) DO NOTHING
RETURNING stripe_event_id;

-- record --
WITH incoming AS (
    SELECT
        webhook.*, known.id IS NOT NULL AS is_known, known.body AS known_body, coalesce(known.is_dead, false) AS is_dead,
        (known.verified_by IS NOT DISTINCT FROM 'api') AS is_listed,
        known.body IS NULL AND known.is_open AND differs_from_first IS NULL AS is_unfilled,
        coalesce(
            NOT webhook.livemode AND NOT known.livemode AND known.body IS NOT NULL
                AND position('~' IN webhook.stripe_event_id) = 0
                AND (
                    known.webhook_type <> webhook.webhook_type
                    OR (webhook.stripe_event_id ~ '^evt_0{8,}(@|$)' AND known.body <> webhook.body)
                ),
            false
        ) AS is_other
    FROM unnest(
        $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::bytea[], $11::boolean[]
    ) WITH ORDINALITY AS webhook (
        stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant,
        verified_by, body, differs_from_first, place
    )
    LEFT JOIN LATERAL (
        SELECT
            log.id, log.body, log.webhook_type, log.livemode, log.verified_by,
            NOT log.processed AND log.dead_at IS NULL AS is_open,
            NOT log.processed AND log.dead_at IS NOT NULL AND (log.outcome IS DISTINCT FROM 'unsupported') AS is_dead
        FROM webhook_logs AS log
        WHERE log.stripe_event_id = webhook.stripe_event_id
        LIMIT 1
    ) AS known ON true
), recorded AS (
    INSERT INTO webhook_logs (
        stripe_event_id, webhook_type, stripe_created_at, livemode, stripe_account_id, api_version, object_id, tenant,
        verified_by, body, next_attempt_at, published_at, publications
    )
    SELECT
        stripe_event_id, webhook_type, to_timestamp(created), livemode, stripe_account_id, api_version, object_id,
        tenant, verified_by, body, now() + interval '5 seconds', now(), 1
    FROM incoming
    WHERE differs_from_first IS NULL AND NOT is_known
    ORDER BY place
    ON CONFLICT (stripe_event_id) DO NOTHING
    RETURNING stripe_event_id
), told AS (
    SELECT
        incoming.*, recorded.stripe_event_id IS NOT NULL AND differs_from_first IS NULL AS is_new,
        NOT is_other AND coalesce(
            CASE WHEN is_known THEN known_body <> body AND NOT is_listed ELSE differs_from_first END, false
        ) AS differs
    FROM incoming
    LEFT JOIN recorded ON recorded.stripe_event_id = incoming.stripe_event_id
), repeated AS (
    INSERT INTO webhook_delivery (stripe_event_id, verified_by, body_differs)
    SELECT stripe_event_id, verified_by, CASE WHEN known_body IS NOT NULL OR NOT is_known THEN differs END
    FROM told
    WHERE NOT is_new AND NOT is_other
)
SELECT
    place, stripe_event_id, is_new, is_other, differs AS body_differs, coalesce(is_unfilled, false) AS is_unfilled,
    CASE WHEN is_dead AND NOT is_other AND known_body = body THEN sluice_revive_webhook(stripe_event_id, body) END AS life
FROM told
ORDER BY place;

-- claim --
SELECT stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, created, tenant, body,
       has_same_body, is_last_look, claimed_in
FROM sluice_claim_batch(
    $1::text[], $2::integer[], $3::bytea[], $4::boolean, $5::float8, $6::text, $7::text, $8::text
);

-- look --
SELECT w.stripe_event_id, webhook_type, stripe_account_id, coalesce(livemode, false) AS livemode, api_version, object_id,
       coalesce(extract(epoch FROM stripe_created_at), 0)::bigint AS created, tenant,
       CASE WHEN message.digest IS NULL THEN body END AS body,
       CASE WHEN message.digest IS NOT NULL THEN coalesce(sha256(body) = message.digest, false) END AS has_same_body,
       body IS NOT NULL AS has_body,
       processed IS NOT FALSE OR dead_at IS NOT NULL AS is_over,
       published_at IS NULL AND coalesce(next_attempt_at, 'infinity') > now() AS is_early,
       processing_attempts,
       solo_starts
FROM unnest($1::text[], $2::bytea[]) AS message (stripe_event_id, digest)
JOIN webhook_logs AS w ON w.stripe_event_id = message.stripe_event_id;

-- begin_isolated_run --
WITH mine AS (
    SELECT id
    FROM webhook_logs
    WHERE stripe_event_id = $1
      AND processing_attempts = $2
      AND NOT processed
      AND dead_at IS NULL
      AND (published_at IS NOT NULL OR next_attempt_at <= now())
      AND (webhook_type, stripe_account_id, coalesce(livemode, false), api_version, object_id,
           coalesce(extract(epoch FROM stripe_created_at), 0)::bigint, tenant)
          IS NOT DISTINCT FROM
          ($3::text, $4::text, $5::boolean, $6::text, $7::text, $8::bigint, $9::text)
      AND (octet_length($10::bytea) = 0 OR body = $10)
    FOR UPDATE SKIP LOCKED
)
UPDATE webhook_logs w
SET solo_starts = w.solo_starts + 1
FROM mine
WHERE w.id = mine.id
RETURNING w.solo_starts;

-- read_bodies --
SELECT stripe_event_id, body FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[]);
