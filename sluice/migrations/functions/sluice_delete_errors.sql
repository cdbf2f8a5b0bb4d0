-- Deletes rows of error_logs that came before; of critical ones those that are resolved. At most so many; how many.
CREATE OR REPLACE FUNCTION sluice_delete_errors(before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET timezone = 'UTC' AS $function$
DECLARE
    deleted integer;
BEGIN
    IF before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'Errors of the last day are too young to go.';
    END IF;
    DELETE FROM error_logs
    WHERE id = ANY (ARRAY(
        SELECT old.id
        FROM error_logs AS old
        WHERE old.created_at < before AND (old.resolved OR old.severity <> 'critical')
        ORDER BY old.created_at
        LIMIT most
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$function$;
