-- Ends pauses, with an operation that says who decided and why; the login is PostgreSQL's own. Gives the numbers of those that
-- were in force. Nothing comes to wait for them afterwards: see sluice_pause_webhooks.
CREATE OR REPLACE FUNCTION sluice_end_pauses(pause_ids bigint[], why text, who text) RETURNS SETOF bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    about jsonb;
    decided bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice pauses', 0));
    SELECT jsonb_object_agg(each.kind, each.names) INTO about
    FROM (
        SELECT p.kind, jsonb_agg(coalesce(p.value, 'everything') ORDER BY p.id) AS names
        FROM pause AS p
        WHERE p.id = ANY (pause_ids) AND p.ended_at IS NULL
        GROUP BY p.kind
    ) AS each;
    IF about IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO operation (verb, filter, reason, person, ended_at) VALUES ('resume', about, why, who, now())
    RETURNING id INTO decided;
    RETURN QUERY
    UPDATE pause
    SET ended_at = now(),
        ended_by = decided
    WHERE id = ANY (pause_ids) AND ended_at IS NULL
    RETURNING id;
END
$function$;
