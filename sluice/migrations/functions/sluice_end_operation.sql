-- Ends an operation of which no item is left. Says whether it did.
CREATE OR REPLACE FUNCTION sluice_end_operation(operation_number bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    UPDATE operation
    SET ended_at = now()
    WHERE id = operation_number AND ended_at IS NULL AND cancelled_at IS NULL
      AND NOT EXISTS (SELECT FROM operation_item WHERE operation_id = operation_number AND done_at IS NULL);
    RETURN FOUND;
END
$function$;
