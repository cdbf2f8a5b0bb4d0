-- The key of an events row that a text names, of the real type of events.id; NULL where the text can be no such key. A
-- row's one name is sluice_event_key(text)::text. A key may stand between white space.
--
-- One function for each type that events.id may have; sluice_event_key is the one of the type that it has here.

-- As PostgreSQL itself reads it: capitals, braces, any hyphens between groups of four digits; the usual spelling first.
CREATE OR REPLACE FUNCTION sluice_uuid_key(key text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN key ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN key::uuid
    WHEN btrim(key, E' \t\n\r\f\v')
        ~ '^(\{[0-9A-Fa-f]{4}(-?[0-9A-Fa-f]{4}){7}\}|[0-9A-Fa-f]{4}(-?[0-9A-Fa-f]{4}){7})$'
        THEN btrim(key, E' \t\n\r\f\v')::uuid
END;

-- With a sign and leading zeros.
CREATE OR REPLACE FUNCTION sluice_bigint_key(key text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN btrim(key, E' \t\n\r\f\v') ~ '^[+-]?[0-9]{1,255}$' THEN
    CASE WHEN btrim(key, E' \t\n\r\f\v')::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
        THEN btrim(key, E' \t\n\r\f\v')::bigint END
END;

CREATE OR REPLACE FUNCTION sluice_integer_key(key text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN sluice_bigint_key(key) BETWEEN -2147483648 AND 2147483647 THEN sluice_bigint_key(key)::integer END;

-- As it is written.
CREATE OR REPLACE FUNCTION sluice_text_key(key text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(btrim(key, E' \t\n\r\f\v'), '');

DO $event_key$
DECLARE
    key_type regtype := (SELECT atttypid FROM pg_attribute
                         WHERE attrelid = 'events'::regclass AND attname = 'id' AND NOT attisdropped);
    reader text := CASE WHEN key_type IN ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype)
                        THEN format('sluice_%s_key', key_type) ELSE 'sluice_text_key' END;
BEGIN
    IF EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure(format('%I.sluice_event_key(text)', current_schema()))
                                     AND prorettype <> key_type) THEN
        DROP FUNCTION sluice_event_key(text);  -- the type of events.id was changed
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION sluice_event_key(key text) RETURNS %s LANGUAGE sql IMMUTABLE STRICT '
                   'PARALLEL SAFE RETURN %I(key)', key_type, reader);
END
$event_key$;
