-- Counts what retention would take, for a dry run; NULL for a moment counts nothing. Bodies are those of whole days, and in
-- rows; what is still needed of them is counted too.
CREATE OR REPLACE FUNCTION sluice_count_expired(
    bodies_before date, webhooks_before timestamptz, errors_before timestamptz, items_before timestamptz
) RETURNS TABLE (what text, found bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET timezone = 'UTC' AS $function$
BEGIN
    RETURN QUERY
    SELECT 'days'::text, count(*) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'webhook_body'::regclass AND c.relname < 'webhook_body_' || to_char(bodies_before, 'YYYYMMDD')
    UNION ALL
    SELECT 'bodies in rows', count(*) FROM webhook_logs
    WHERE body IS NOT NULL AND processed AND created_at < bodies_before AND coalesce(processed_at, created_at) < bodies_before
    UNION ALL
    SELECT 'webhooks', count(*) FROM webhook_logs
    WHERE processed AND created_at < webhooks_before AND coalesce(processed_at, created_at) < webhooks_before
    UNION ALL
    SELECT 'errors', count(*) FROM error_logs WHERE created_at < errors_before AND (resolved OR severity <> 'critical')
    UNION ALL
    SELECT 'items of operations', count(*) FROM operation_item AS i JOIN operation AS o ON o.id = i.operation_id
    WHERE coalesce(o.ended_at, o.cancelled_at) < items_before;
END
$function$;
