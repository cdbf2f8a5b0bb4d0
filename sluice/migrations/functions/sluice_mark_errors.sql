-- Marks error rows as resolved, or as unresolved again, and gives the ids of those that it changed.
CREATE OR REPLACE FUNCTION sluice_mark_errors(ids text[], as_resolved boolean) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    RETURN QUERY EXECUTE format($query$
        UPDATE error_logs
        SET resolved = $2,
            resolved_at = CASE WHEN $2 THEN now() END
        WHERE id = ANY ($1::%s[]) AND resolved IS DISTINCT FROM $2
        RETURNING id::text
    $query$, (SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'error_logs'::regclass AND attname = 'id'))
    USING ids, as_resolved;
END
$function$;
