-- Makes waiting rows due now, and leaves those that are paused. Locks nothing that sluice_carry_out has not locked.
CREATE OR REPLACE FUNCTION sluice_retry_webhooks(ids text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs
    SET next_attempt_at = least(next_attempt_at, now())
    WHERE stripe_event_id = ANY (ids)
      AND NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity'
    RETURNING stripe_event_id
$function$;
