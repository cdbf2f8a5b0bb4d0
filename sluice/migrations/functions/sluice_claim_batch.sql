-- Locks the rows whose turn it is, in the order of their ids; skips what another processor holds. Gives of each row all
-- that a handler can see of an event, so that a message says which row, and the row says what it is. A row that was
-- tried and is not due again has no message on its way: one that comes all the same is not from the relay. The limits,
-- in milliseconds, hold for this transaction alone, behind a pooler too. An isolated run needs its start committed; a
-- row with such a start never runs in company. The commit waits for no disk: should PostgreSQL crash, effect and
-- processed = true go together, and the relay sends the webhook again.
--   digests: SHA-256 of a message's body where that is large; NULL gives the row's body, to be compared there.
--   claimed_in: the transaction, for sluice_settle_batch.
--   is_last_look: whether the row was parked for as long as patience_seconds.
CREATE OR REPLACE FUNCTION sluice_claim_batch(
    event_ids text[], attempts integer[], digests bytea[], is_alone boolean, patience_seconds double precision,
    statement_limit text, lock_limit text, idle_limit text
) RETURNS TABLE (
    stripe_event_id text, webhook_type text, stripe_account_id text, livemode boolean, api_version text,
    object_id text, created bigint, tenant text, body bytea, has_same_body boolean, is_last_look boolean,
    claimed_in text
)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    own_transaction text := pg_current_xact_id()::text;
BEGIN
    PERFORM set_config('statement_timeout', statement_limit, true),
            set_config('lock_timeout', lock_limit, true),
            set_config('idle_in_transaction_session_timeout', idle_limit, true),
            set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH log AS MATERIALIZED (
        SELECT held.*, message.digest
        FROM (
            SELECT m.stripe_event_id, m.attempt, m.digest
            FROM unnest(event_ids, attempts, digests) AS m(stripe_event_id, attempt, digest)
            ORDER BY m.stripe_event_id
        ) AS message
        CROSS JOIN LATERAL (
            SELECT w.stripe_event_id, w.webhook_type, w.stripe_account_id, w.livemode, w.api_version, w.object_id,
                   w.stripe_created_at, w.tenant, w.body, w.body_id, w.parked_at
            FROM webhook_logs AS w
            WHERE w.stripe_event_id = message.stripe_event_id
              AND CASE
                    WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL THEN false
                    WHEN w.published_at IS NULL AND coalesce(w.next_attempt_at, 'infinity') > now() THEN false
                    ELSE w.processing_attempts = message.attempt AND (w.solo_starts > 0) = is_alone
                  END
            FOR UPDATE SKIP LOCKED
        ) AS held
    )
    SELECT log.stripe_event_id::text, log.webhook_type::text, log.stripe_account_id::text,
           coalesce(log.livemode, false), log.api_version::text, log.object_id::text,
           coalesce(extract(epoch FROM log.stripe_created_at), 0)::bigint, log.tenant::text,
           CASE WHEN log.digest IS NULL THEN coalesce(log.body, stored.body) END,
           CASE WHEN log.digest IS NOT NULL
                THEN coalesce(sha256(coalesce(log.body, stored.body)) = log.digest, false) END,
           coalesce(log.parked_at <= now() - patience_seconds * interval '1 second', false), own_transaction
    FROM log
    LEFT JOIN sluice_bodies(ARRAY(SELECT locked.body_id FROM log AS locked WHERE locked.body_id IS NOT NULL)) AS stored
        ON stored.id = log.body_id
    ORDER BY log.stripe_event_id;
END
$function$;
