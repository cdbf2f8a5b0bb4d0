-- Ends a thin event that waits for its fetch: 'fetched', since its fact is in the log; or 'unfetchable', and the reason says
-- why. Whether it still waited.
CREATE OR REPLACE FUNCTION sluice_settle_thin(event_id text, new_outcome text, reason text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    IF coalesce(new_outcome, '') NOT IN ('fetched', 'unfetchable') THEN
        RAISE EXCEPTION 'A thin event ends as fetched or unfetchable.';
    END IF;
    DELETE FROM thin_fetch AS waiting WHERE waiting.stripe_event_id = event_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE webhook_logs AS log
    SET outcome = new_outcome,
        processed = true,
        processed_at = now(),
        last_error = reason
    WHERE log.stripe_event_id = event_id AND NOT log.processed AND log.dead_at IS NULL AND log.outcome = 'fetching'
      AND coalesce(log.published_at, log.next_attempt_at) IS NULL;
    RETURN FOUND;
END
$function$;
