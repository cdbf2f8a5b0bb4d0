-- Lets no further item of an operation be changed, and keeps who said so. Waits for the batch that is under way. Says whether
-- the operation was still open.
CREATE OR REPLACE FUNCTION sluice_cancel_operation(operation_number bigint, who text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    UPDATE operation
    SET cancelled_at = now(),
        cancelled_by = who
    WHERE id = operation_number AND ended_at IS NULL AND cancelled_at IS NULL;
    RETURN FOUND;
END
$function$;
