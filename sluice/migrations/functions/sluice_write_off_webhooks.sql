-- Lets dead rows rest without an effect. dead_at and last_error stay.
CREATE OR REPLACE FUNCTION sluice_write_off_webhooks(ids text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs
    SET processed = true,
        processed_at = now(),
        outcome = 'written_off'
    WHERE stripe_event_id = ANY (ids)
      AND NOT processed AND dead_at IS NOT NULL
    RETURNING stripe_event_id
$function$;
