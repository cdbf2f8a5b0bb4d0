-- Ends a thin event that waits: 'applied', since its full event is in the log; else it is dead, and the reason says why.
-- Whether it still waited.
CREATE OR REPLACE FUNCTION sluice_settle_thin(event_id text, new_outcome text, reason text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    DELETE FROM thin_fetch AS waiting WHERE waiting.stripe_event_id = event_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE webhook_logs AS log
    SET outcome = new_outcome,
        processed = new_outcome = 'applied',
        processed_at = CASE WHEN new_outcome = 'applied' THEN now() END,
        dead_at = CASE WHEN new_outcome <> 'applied' THEN now() END,
        last_error = reason,
        published_at = NULL
    WHERE log.stripe_event_id = event_id AND NOT log.processed AND log.dead_at IS NULL AND log.outcome = 'fetching';
    RETURN FOUND;
END
$function$;
