-- Deletes the items of operations that ended before: which rows they were about, and what these were before and after. Who
-- did what, when and why stays. Never of the last 31 days. At most so many; how many it deleted.
CREATE OR REPLACE FUNCTION sluice_delete_items(before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    old bigint := (SELECT o.id
                   FROM operation AS o
                   WHERE coalesce(o.ended_at, o.cancelled_at) < before
                     AND EXISTS (SELECT FROM operation_item AS i WHERE i.operation_id = o.id)
                   ORDER BY o.id
                   LIMIT 1);
    positions bigint[] := ARRAY(SELECT i.position FROM operation_item AS i WHERE i.operation_id = old ORDER BY i.position LIMIT most);
BEGIN
    IF before > now() - interval '31 days' THEN
        RAISE EXCEPTION 'The items of an operation are kept for 31 days at least.';
    END IF;
    DELETE FROM operation_start AS s WHERE s.operation_id = old AND s.position = ANY (positions);
    DELETE FROM operation_item AS i WHERE i.operation_id = old AND i.position = ANY (positions);
    RETURN cardinality(positions);
END
$function$;
