-- claim --
-- $1 stripe_event_ids  $2 the attempt of each message  $3 ids that came without body  $4 whether this is a run alone
-- $5 statement timeout  $6 lock timeout  $7 idle timeout, in milliseconds. See migrations/sprint4_kept_plans.sql.
SELECT stripe_event_id, body
FROM sluice_claim_webhooks($1::text[], $2::integer[], $3::text[], $4::boolean, $5::text, $6::text, $7::text);

-- look --
-- $1 stripe_event_ids that could not be claimed. What their rows say instead; no row: PostgreSQL never heard of it.
SELECT stripe_event_id,
       processed OR dead_at IS NOT NULL AS is_over,
       processing_attempts,
       solo_starts
FROM webhook_logs
WHERE stripe_event_id = ANY ($1::text[]);

-- settle_processed --
-- $1 stripe_event_ids  $2 outcome of each. The last statement before the commit that makes the effects true; see
-- migrations/sprint4_kept_plans.sql.
SELECT stripe_event_id, delay_seconds FROM sluice_settle_webhooks($1::text[], $2::text[]);

-- settle_parked --
-- $1 stripe_event_ids  $2 why  $3 seconds until the next look  $4 patience in seconds.
-- The facts that the handler wrote commit; the event comes back until its row appears or patience ends.
UPDATE webhook_logs w
SET outcome = 'parked',
    parked_at = coalesce(w.parked_at, now()),
    postponed_at = NULL,
    last_error = parked.reason,
    processing_attempts = w.processing_attempts + 1,
    published_at = NULL,
    solo_starts = 0,
    next_attempt_at = now() + parked.delay_seconds * interval '1 second',
    dead_at = CASE WHEN coalesce(w.parked_at, now()) <= now() - $4 * interval '1 second' THEN now() END
FROM unnest($1::text[], $2::text[], $3::float8[]) AS parked (stripe_event_id, reason, delay_seconds)
WHERE w.stripe_event_id = parked.stripe_event_id
RETURNING w.stripe_event_id, w.dead_at IS NOT NULL AS is_dead;

-- settle_unsupported --
-- $1 stripe_event_ids  $2 why. Dead at once, and visibly so.
UPDATE webhook_logs w
SET outcome = 'unsupported',
    last_error = unsupported.reason,
    processing_attempts = w.processing_attempts + 1,
    published_at = NULL,
    solo_starts = 0,
    dead_at = now()
FROM unnest($1::text[], $2::text[]) AS unsupported (stripe_event_id, reason)
WHERE w.stripe_event_id = unsupported.stripe_event_id
RETURNING w.stripe_event_id, true AS is_dead;
