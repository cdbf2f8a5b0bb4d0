-- Lets webhooks go whose pause has ended: due now, with the attempts that they had. The time for which they waited counts
-- neither against the patience of a parked or a postponed one, nor as a delay. One that another pause in force covers, which
-- the caller knows, waits for that one from now on. Without ids it notes which of the pauses that ended are empty. Gives how
-- many were let go.
CREATE OR REPLACE FUNCTION sluice_resume_webhooks(event_ids text[], other_pauses bigint[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
DECLARE
    let_go bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('sluice pauses', 0));
    IF cardinality(event_ids) = 0 THEN
        UPDATE pause AS p
        SET emptied_at = now()
        WHERE p.ended_at IS NOT NULL AND p.emptied_at IS NULL
          AND NOT EXISTS (SELECT FROM paused_webhook AS h WHERE h.pause_id = p.id);
        RETURN 0;
    END IF;

    UPDATE paused_webhook AS h
    SET pause_id = other.id
    FROM unnest(event_ids, other_pauses) AS m (stripe_event_id, other_pause)
    JOIN pause AS other ON other.id = m.other_pause AND other.ended_at IS NULL
    WHERE h.stripe_event_id = ANY (ARRAY[m.stripe_event_id]);

    WITH gone AS (
        DELETE FROM paused_webhook AS h
        USING unnest(event_ids, other_pauses) AS m (stripe_event_id, other_pause)
        WHERE h.stripe_event_id = ANY (ARRAY[m.stripe_event_id]) AND m.other_pause IS NULL
          AND EXISTS (SELECT FROM pause AS p WHERE p.id = h.pause_id AND p.ended_at IS NOT NULL)
        RETURNING h.stripe_event_id, h.paused_at
    )
    UPDATE webhook_logs AS w
    SET next_attempt_at = now(),
        resumed_at = now(),
        parked_at = w.parked_at + (now() - gone.paused_at),
        postponed_at = w.postponed_at + (now() - gone.paused_at)
    FROM gone
    WHERE w.stripe_event_id = ANY (ARRAY[gone.stripe_event_id])
      AND CASE
            WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL OR w.published_at IS NOT NULL THEN false
            ELSE w.next_attempt_at = 'infinity'
          END;
    GET DIAGNOSTICS let_go = ROW_COUNT;
    RETURN let_go;
END
$function$;
