-- Refuses items that come after their operation: a set stays as it was chosen, and nobody adds to another's.
CREATE OR REPLACE FUNCTION sluice_keep_items() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    IF EXISTS (
        SELECT
        FROM (SELECT DISTINCT operation_id FROM added) AS item
        JOIN operation AS o ON o.id = item.operation_id
        WHERE o.started_at <> transaction_timestamp() OR o.login <> session_user
    ) THEN
        RAISE EXCEPTION 'An operation takes its items when it starts, and none later.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$function$;
