-- The body of one row, wherever it is: sluice_body(body, body_id). NULL: there is none any more. For many rows take
-- sluice_bodies.
CREATE OR REPLACE FUNCTION sluice_body(body bytea, body_id bigint) RETURNS bytea
    LANGUAGE sql VOLATILE AS $function$
    SELECT coalesce(body, (SELECT stored.body FROM sluice_bodies(ARRAY[body_id]) AS stored))
$function$;
