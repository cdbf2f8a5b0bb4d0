-- Reads bodies by their ids, each from the partition that its id names, whatever number of partitions there are: a plan of
-- the whole table would lock them all. The body of a partition that was dropped is not there any more. What a transaction
-- has read is not dropped before its end.
CREATE OR REPLACE FUNCTION sluice_bodies(ids bigint[]) RETURNS TABLE (id bigint, body bytea)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 100
    SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    days bigint[] := ARRAY(SELECT DISTINCT i / 10000000000 FROM unnest(ids) AS i WHERE i IS NOT NULL);
    day bigint;
BEGIN
    FOREACH day IN ARRAY days LOOP
        BEGIN
            RETURN QUERY EXECUTE format('SELECT b.id, b.body FROM webhook_body_%s AS b WHERE b.id = ANY ($1)', day) USING ids;
        EXCEPTION WHEN undefined_table THEN NULL;
        END;
    END LOOP;
END
$function$;
