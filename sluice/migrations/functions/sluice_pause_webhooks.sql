-- Lets open webhooks wait for the end of a pause: each of its own, for the caller knows the pauses and the handlers. No
-- attempt is counted, and what the attempts before said stays. A message that says anything else of its row than the row
-- moves nothing, for it might be covered by a pause that the row is not. Gives the ids that wait now, and with false those
-- whose pause has ended meanwhile: they may run. A row that somebody holds is in neither.
--
-- Who ends a pause takes the same lock for itself, so that nothing comes to wait for it afterwards.
CREATE OR REPLACE FUNCTION sluice_pause_webhooks(
    event_ids text[], attempts integer[], types text[], accounts text[], tenants text[], pause_ids bigint[]
) RETURNS TABLE (stripe_event_id text, is_paused boolean)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    in_force bigint[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('sluice pauses', 0));
    in_force := ARRAY(SELECT p.id FROM pause AS p WHERE p.id = ANY (pause_ids) AND p.ended_at IS NULL);
    RETURN QUERY
    WITH paused AS (
        UPDATE webhook_logs AS w
        SET published_at = NULL,
            next_attempt_at = 'infinity'
        FROM (
            SELECT log.stripe_event_id, message.pause_id
            FROM (
                SELECT m.*
                FROM unnest(event_ids, attempts, types, accounts, tenants, pause_ids)
                    AS m (stripe_event_id, attempt, webhook_type, account, tenant, pause_id)
                WHERE m.pause_id = ANY (in_force)
                ORDER BY m.stripe_event_id
            ) AS message
            CROSS JOIN LATERAL (
                SELECT l.stripe_event_id
                FROM webhook_logs AS l
                WHERE l.stripe_event_id = message.stripe_event_id
                  AND CASE
                        WHEN l.processed IS NOT FALSE OR l.dead_at IS NOT NULL THEN false
                        WHEN l.published_at IS NULL AND coalesce(l.next_attempt_at, 'infinity') > now() THEN false
                        ELSE l.processing_attempts = message.attempt
                             AND (l.webhook_type, l.stripe_account_id, l.tenant)
                                 IS NOT DISTINCT FROM (message.webhook_type, message.account, message.tenant)
                      END
                FOR UPDATE SKIP LOCKED
            ) AS log
        ) AS open
        WHERE w.stripe_event_id = ANY (ARRAY[open.stripe_event_id])
        RETURNING w.stripe_event_id::text, open.pause_id
    ), noted AS (
        INSERT INTO paused_webhook AS h (stripe_event_id, pause_id)
        SELECT DISTINCT ON (paused.stripe_event_id) paused.stripe_event_id, paused.pause_id
        FROM paused
        ORDER BY paused.stripe_event_id
        ON CONFLICT (stripe_event_id) DO UPDATE SET pause_id = excluded.pause_id, paused_at = excluded.paused_at
    )
    SELECT paused.stripe_event_id, true FROM paused
    UNION
    SELECT m.stripe_event_id, false FROM unnest(event_ids, pause_ids) AS m (stripe_event_id, pause_id)
    WHERE m.pause_id <> ALL (in_force);
END
$function$;
