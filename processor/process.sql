-- claim --
-- $1 stripe_event_ids  $2 the attempt of each message  $3 whether this is a run alone  $4 patience in seconds
-- $5 statement timeout  $6 lock timeout  $7 idle timeout, in milliseconds. See migrations/sprint5_claims.sql.
SELECT stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, created, tenant, body,
       is_last_look, claimed_in
FROM sluice_claim_batch($1::text[], $2::integer[], $3::boolean, $4::float8, $5::text, $6::text, $7::text);

-- look --
-- $1 stripe_event_ids that could not be claimed. What their rows say instead; no row: PostgreSQL never heard of it.
SELECT stripe_event_id, webhook_type, stripe_account_id, coalesce(livemode, false) AS livemode, api_version, object_id,
       coalesce(extract(epoch FROM stripe_created_at), 0)::bigint AS created, tenant, body,
       processed IS NOT FALSE OR dead_at IS NOT NULL AS is_over,
       published_at IS NULL AND coalesce(next_attempt_at, 'infinity') > now() AS is_early,
       processing_attempts,
       solo_starts
FROM webhook_logs
WHERE stripe_event_id = ANY ($1::text[]);

-- settle_processed --
-- $1 stripe_event_ids  $2 outcome of each  $3 the transaction that claimed. The last statement before the commit that makes
-- the effects true; see migrations/sprint5_claims.sql.
SELECT stripe_event_id, delay_seconds FROM sluice_settle_batch($1::text[], $2::text[], $3::text);

-- settle_parked --
-- $1 stripe_event_ids  $2 why  $3 seconds until the next look  $4 patience in seconds  $5 the transaction that claimed; in
-- another one nothing is settled.
-- The facts that the handler wrote commit; the event comes back until its row appears or patience ends.
UPDATE webhook_logs w
SET outcome = 'parked',
    parked_at = coalesce(w.parked_at, now()),
    last_error = parked.reason,
    processing_attempts = w.processing_attempts + 1,
    published_at = NULL,
    solo_starts = 0,
    next_attempt_at = now() + parked.delay_seconds * interval '1 second',
    dead_at = CASE WHEN coalesce(w.parked_at, now()) <= now() - $4 * interval '1 second' THEN now() END
FROM unnest($1::text[], $2::text[], $3::float8[]) AS parked (stripe_event_id, reason, delay_seconds)
WHERE w.stripe_event_id = parked.stripe_event_id AND pg_current_xact_id_if_assigned()::text = $5::text
RETURNING w.stripe_event_id, w.dead_at IS NOT NULL AS is_dead;

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
RETURNING w.stripe_event_id, true AS is_dead;
