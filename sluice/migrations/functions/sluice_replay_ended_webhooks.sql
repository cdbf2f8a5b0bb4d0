-- Makes rows that are over, and have a body, due as if never tried.
CREATE OR REPLACE FUNCTION sluice_replay_ended_webhooks(ids text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs
    SET processed = false,
        processed_at = NULL,
        dead_at = NULL,
        parked_at = NULL,
        postponed_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        published_at = NULL,
        next_attempt_at = now()
    WHERE stripe_event_id = ANY (ids)
      AND processed IS NOT FALSE AND sluice_body(body, body_id) IS NOT NULL
    RETURNING stripe_event_id
$function$;
