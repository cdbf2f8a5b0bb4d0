-- Begins a pause, with an operation that says who decided and why; the login is PostgreSQL's own. Its number, or NULL where
-- the same is paused already.
CREATE OR REPLACE FUNCTION sluice_begin_pause(what text, which text, why text, who text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    decided bigint;
    begun bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice pauses', 0));
    IF EXISTS (SELECT FROM pause WHERE ended_at IS NULL AND kind = what AND value IS NOT DISTINCT FROM which) THEN
        RETURN NULL;
    END IF;
    INSERT INTO operation (verb, filter, reason, person, ended_at)
    VALUES ('pause', jsonb_build_object(what, coalesce(which, 'everything')), why, who, now())
    RETURNING id INTO decided;
    INSERT INTO pause (kind, value, began_by) VALUES (what, which, decided) RETURNING id INTO begun;
    RETURN begun;
END
$function$;
