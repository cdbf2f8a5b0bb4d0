-- Takes bodies out of rows that are over and came before, as dropping does with those in partitions; not of disputed
-- payments. At most so many; how many it took.
CREATE OR REPLACE FUNCTION sluice_forget_bodies(before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET timezone = 'UTC' AS $function$
DECLARE
    taken integer;
BEGIN
    IF before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'Bodies of the last day are too young to go.';
    END IF;
    UPDATE webhook_logs AS log
    SET body = NULL
    WHERE log.id = ANY (ARRAY(
        SELECT old.id
        FROM webhook_logs AS old
        WHERE old.body IS NOT NULL AND old.created_at < before AND old.processed
          AND coalesce(old.processed_at, old.created_at) < before AND NOT sluice_is_disputed(old.stripe_event_id::text)
        ORDER BY old.created_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS taken = ROW_COUNT;
    RETURN taken;
END
$function$;
