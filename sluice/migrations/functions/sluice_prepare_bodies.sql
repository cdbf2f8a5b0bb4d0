-- Makes the partitions of today and of so many days to come, and says for how many days after today there is one. Attaching
-- takes SHARE UPDATE EXCLUSIVE on webhook_body, which hinders no read and no write; who waits for it, waits for a second.
CREATE OR REPLACE FUNCTION sluice_prepare_bodies(days_ahead integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    own_schema name := (SELECT relnamespace::regnamespace::name FROM pg_class WHERE oid = 'webhook_body'::regclass);
    day date := today;
    first_id bigint;
    leaf text;
    visitor text;
BEGIN
    PERFORM set_config('lock_timeout', '1s', true), set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice maintain', 0));
    WHILE day <= today + least(days_ahead, 100) LOOP
        leaf := format('%I.%I', own_schema, 'webhook_body_' || to_char(day, 'YYYYMMDD'));
        first_id := to_char(day, 'YYYYMMDD')::bigint * 10000000000;
        IF to_regclass(leaf) IS NULL THEN
            -- The constraint spares ATTACH its look at the rows, and goes.
            EXECUTE format('CREATE TABLE %s (LIKE webhook_body INCLUDING ALL EXCLUDING IDENTITY, CONSTRAINT of_day CHECK (id >= %s AND id < %s))',
                           leaf, first_id, first_id + 10000000000);
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', leaf);
            FOR visitor IN SELECT 'PUBLIC' UNION ALL
                           SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
            LOOP
                EXECUTE format('REVOKE ALL ON %s FROM %s', leaf, visitor);
            END LOOP;
            EXECUTE format('ALTER TABLE webhook_body ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)',
                           leaf, first_id, first_id + 10000000000);
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT of_day', leaf);
        END IF;
        day := day + 1;
    END LOOP;
    UPDATE body_storage SET partitions_until = day WHERE partitions_until < day;
    RETURN (SELECT partitions_until - today - 1 FROM body_storage);
END
$function$;
