-- Makes dead rows due as if never tried.
CREATE OR REPLACE FUNCTION sluice_replay_webhooks(ids text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs
    SET dead_at = NULL,
        parked_at = NULL,
        postponed_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        published_at = NULL,
        next_attempt_at = now()
    WHERE stripe_event_id = ANY (ids)
      AND NOT processed AND dead_at IS NOT NULL
    RETURNING stripe_event_id
$function$;
