-- Makes rows that were written off, and have a body, dead again, each with the outcome that it had.
CREATE OR REPLACE FUNCTION sluice_reopen_webhooks(ids text[], outcomes text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs AS log
    SET processed = false,
        processed_at = NULL,
        outcome = was.outcome
    FROM unnest(ids, outcomes) AS was (stripe_event_id, outcome)
    WHERE log.stripe_event_id = was.stripe_event_id
      AND log.processed IS NOT FALSE AND log.dead_at IS NOT NULL
      AND sluice_body(log.body, log.body_id) IS NOT NULL
    RETURNING log.stripe_event_id
$function$;
