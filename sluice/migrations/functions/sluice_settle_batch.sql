-- The last statement before the commit that makes the effects true. Where a handler ended the transaction that claimed,
-- the effects of others are gone or stand already, and processed = true would be a lie: it raises instead. Gives the
-- delay of each: since its receipt, or since a pause let it go.
CREATE OR REPLACE FUNCTION sluice_settle_batch(event_ids text[], outcomes text[], claimed_in text)
    RETURNS TABLE (stripe_event_id text, delay_seconds double precision)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
BEGIN
    IF pg_current_xact_id_if_assigned()::text IS DISTINCT FROM claimed_in THEN
        RAISE EXCEPTION 'A handler ended the transaction that its event was claimed in.';
    END IF;
    RETURN QUERY
    UPDATE webhook_logs AS w
    SET processed = true,
        processed_at = clock_timestamp(),
        outcome = settled.outcome,
        published_at = NULL,
        solo_starts = 0
    FROM unnest(event_ids, outcomes) AS settled(stripe_event_id, outcome)
    WHERE w.stripe_event_id = ANY (ARRAY[settled.stripe_event_id])
      AND CASE  -- fits no partial index, so that the plan stays at one look-up by key for each row
            WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL THEN false
            ELSE coalesce(w.published_at, w.next_attempt_at) < 'infinity'
          END
    RETURNING w.stripe_event_id::text, extract(epoch FROM clock_timestamp() - greatest(w.created_at, w.resumed_at))::double precision;
END
$function$;
