-- Makes a dead row due as if never tried; its last error stays to be read. What this release does not support would die
-- again at once, and stays dead. A row that somebody holds is not waited for. Says what the row is now: 'revived';
-- 'alive', since another delivery was quicker; or 'held': then the delivery must be refused, so that it comes again.
CREATE OR REPLACE FUNCTION sluice_revive_webhook(event_id text, same_body bytea) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    UPDATE webhook_logs AS log
    SET dead_at = NULL,
        parked_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        postponed_at = NULL,
        published_at = NULL,
        next_attempt_at = now(),
        revivals = log.revivals + 1,
        revived_at = now()
    WHERE log.id = ANY (ARRAY(
        SELECT dead.id
        FROM webhook_logs AS dead
        WHERE dead.stripe_event_id = event_id AND dead.dead_at IS NOT NULL AND NOT dead.processed
          AND dead.outcome IS DISTINCT FROM 'unsupported' AND sluice_body(dead.body, dead.body_id) = same_body
        FOR UPDATE SKIP LOCKED
    ));
    IF FOUND THEN
        RETURN 'revived';
    END IF;
    -- A statement of its own sees what another delivery has committed meanwhile.
    IF EXISTS (SELECT FROM webhook_logs AS log WHERE log.stripe_event_id = event_id AND log.dead_at IS NOT NULL
                                                     AND NOT log.processed) THEN
        RETURN 'held';
    END IF;
    RETURN 'alive';
END
$function$;
