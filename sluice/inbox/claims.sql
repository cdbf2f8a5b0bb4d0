-- claim --
-- $1 stripe_event_ids  $2 the attempt of each message  $3 digest of each body, NULL of a small one  $4 whether this is a run
-- alone  $5 patience in seconds  $6 statement timeout  $7 lock timeout  $8 idle timeout, in milliseconds. See
-- migrations/functions/sluice_claim_batch.sql.
SELECT stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, created, tenant, body,
       has_same_body, is_last_look, claimed_in
FROM sluice_claim_batch(
    $1::text[], $2::integer[], $3::bytea[], $4::boolean, $5::float8, $6::text, $7::text, $8::text
);

-- look --
-- $1 stripe_event_ids that could not be claimed  $2 digests as for claim. What their rows say instead; no row: PostgreSQL
-- never heard of it.
WITH log AS MATERIALIZED (
    SELECT w.stripe_event_id, webhook_type, stripe_account_id, coalesce(livemode, false) AS livemode, api_version, object_id,
           coalesce(extract(epoch FROM stripe_created_at), 0)::bigint AS created, tenant, body, body_id, message.digest,
           processed IS NOT FALSE OR dead_at IS NOT NULL AS is_over,
           published_at IS NULL AND coalesce(next_attempt_at, 'infinity') > now() AS is_early,
           processing_attempts,
           solo_starts
    FROM unnest($1::text[], $2::bytea[]) AS message (stripe_event_id, digest)
    JOIN webhook_logs AS w ON w.stripe_event_id = message.stripe_event_id
), bodies AS (
    SELECT log.*, coalesce(log.body, stored.body) AS whole_body
    FROM log
    LEFT JOIN sluice_bodies(ARRAY(SELECT body_id FROM log WHERE body_id IS NOT NULL)) AS stored ON stored.id = log.body_id
)
SELECT stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, created, tenant,
       CASE WHEN digest IS NULL THEN whole_body END AS body,
       CASE WHEN digest IS NOT NULL THEN coalesce(sha256(whole_body) = digest, false) END AS has_same_body,
       whole_body IS NOT NULL AS has_body,
       is_over, is_early, processing_attempts, solo_starts
FROM bodies;

-- read_fetched --
-- $1 stripe_event_ids. Those whose row holds what Stripe's API gave, which writes an event otherwise than a webhook.
SELECT stripe_event_id FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[]) AND verified_by = 'api';

-- settle_processed --
-- $1 stripe_event_ids  $2 outcome of each  $3 the transaction that claimed. The last statement before the commit that makes
-- the effects true; see migrations/functions/sluice_settle_batch.sql.
SELECT stripe_event_id, delay_seconds FROM sluice_settle_batch($1::text[], $2::text[], $3::text);

-- settle_parked --
-- $1 stripe_event_ids  $2 why  $3 seconds until the next look  $4 the transaction that claimed; in another one nothing is
-- settled. The facts that the handler wrote commit; the event comes back until its row appears or patience ends. CASE keeps
-- the plan at one look-up by key for each row: it fits no partial index.
UPDATE webhook_logs w
SET outcome = 'parked',
    parked_at = coalesce(w.parked_at, now()),
    postponed_at = NULL,
    last_error = parked.reason,
    processing_attempts = w.processing_attempts + 1,
    published_at = NULL,
    solo_starts = 0,
    next_attempt_at = now() + parked.delay_seconds * interval '1 second'
FROM unnest($1::text[], $2::text[], $3::float8[]) AS parked (stripe_event_id, reason, delay_seconds)
WHERE w.stripe_event_id = parked.stripe_event_id AND pg_current_xact_id_if_assigned()::text = $4::text
  AND CASE
        WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL THEN false
        ELSE coalesce(w.published_at, w.next_attempt_at) < 'infinity'
      END
RETURNING w.stripe_event_id;

-- settle_unsupported --
-- $1 stripe_event_ids  $2 why  $3 the transaction that claimed. Dead at once, and visibly so.
UPDATE webhook_logs w
SET outcome = 'unsupported',
    last_error = unsupported.reason,
    processing_attempts = w.processing_attempts + 1,
    published_at = NULL,
    solo_starts = 0,
    dead_at = now()
FROM unnest($1::text[], $2::text[]) AS unsupported (stripe_event_id, reason)
WHERE w.stripe_event_id = unsupported.stripe_event_id AND pg_current_xact_id_if_assigned()::text = $3::text
  AND CASE
        WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL THEN false
        ELSE coalesce(w.published_at, w.next_attempt_at) < 'infinity'
      END
RETURNING w.stripe_event_id;

-- settle_fetching --
-- $1 stripe_event_ids  $2 the transaction that claimed. Thin events: from now on they wait for the reconciler, and nothing
-- publishes them.
WITH settled AS (
    UPDATE webhook_logs w
    SET outcome = 'fetching',
        last_error = NULL,
        published_at = NULL,
        next_attempt_at = NULL,
        postponed_at = NULL,
        parked_at = NULL,
        solo_starts = 0
    FROM unnest($1::text[]) AS thin (stripe_event_id)
    WHERE w.stripe_event_id = thin.stripe_event_id AND pg_current_xact_id_if_assigned()::text = $2::text
      AND CASE
            WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL THEN false
            ELSE coalesce(w.published_at, w.next_attempt_at) < 'infinity'
          END
    RETURNING w.stripe_event_id
), waiting AS (
    INSERT INTO thin_fetch (stripe_event_id) SELECT stripe_event_id FROM settled ORDER BY stripe_event_id ON CONFLICT DO NOTHING
)
SELECT stripe_event_id FROM settled;

-- begin_isolated_run --
-- $1 stripe_event_id  $2 attempt  $3 webhook_type  $4 stripe_account_id  $5 livemode  $6 api_version  $7 object_id
-- $8 created (Unix seconds)  $9 tenant  $10 body, empty where the message refers to the row's. One more start, and how many
-- that makes which did not end. No row returned: it is not this attempt's turn, or not its message, or another processor
-- holds the row.
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
      AND (octet_length($10::bytea) = 0 OR sluice_body(body, body_id) = $10)
    FOR UPDATE SKIP LOCKED
)
UPDATE webhook_logs w
SET solo_starts = w.solo_starts + 1
FROM mine
WHERE w.id = mine.id
RETURNING w.solo_starts;

-- end_isolated_runs --
-- $1 stripe_event_ids. These runs ended, though without a result: the process lived, so none killed it.
UPDATE webhook_logs SET solo_starts = 0
WHERE stripe_event_id = ANY ($1::text[]) AND solo_starts > 0 AND NOT processed AND dead_at IS NULL
  AND coalesce(published_at, next_attempt_at) IS NOT NULL;

-- read_unended --
-- $1 stripe_event_ids. Those of which an isolated run began and did not end.
SELECT stripe_event_id FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[]) AND solo_starts > 0;
