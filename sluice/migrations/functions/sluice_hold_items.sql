-- Locks the rows that no other transaction holds, until the transaction ends, and gives their ids.
CREATE OR REPLACE FUNCTION sluice_hold_items(of_errors boolean, ids text[]) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    IF of_errors THEN
        RETURN QUERY EXECUTE format(
            'SELECT id::text FROM error_logs WHERE id = ANY ($1::%s[]) FOR UPDATE SKIP LOCKED',
            (SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'error_logs'::regclass AND attname = 'id')
        ) USING ids;
        RETURN;
    END IF;
    RETURN QUERY SELECT stripe_event_id::text FROM webhook_logs WHERE stripe_event_id = ANY (ids) FOR UPDATE SKIP LOCKED;
END
$function$;
