-- The body as jsonb; NULL where jsonb refuses it (\u0000, lone surrogates, no UTF-8, too deep).
CREATE OR REPLACE FUNCTION sluice_body_json(body bytea) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR character_not_in_repertoire THEN
    RETURN NULL;
END
$function$;
