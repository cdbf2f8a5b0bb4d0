-- How many webhooks the processors have to do now, counted up to a limit: those published and not tried, and those whose
-- next attempt is due. KEDA asks it. Without a sort the planner reads each index in its order, from the mark on; else it
-- would read all of another one that looks as small.
CREATE OR REPLACE FUNCTION sluice_count_due(most bigint) RETURNS bigint
    LANGUAGE sql STABLE SET enable_sort = off SET enable_seqscan = off AS $function$
    SELECT least(most,
        (SELECT count(*) FROM (
            SELECT FROM webhook_logs
            WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
              AND published_at >= coalesce((SELECT untried_from FROM queue_watermark), '-infinity')
            ORDER BY published_at
            LIMIT most) AS untried)
      + (SELECT count(*) FROM (
            SELECT FROM webhook_logs
            WHERE NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at <= now()
              AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark), '-infinity')
            ORDER BY next_attempt_at
            LIMIT most) AS due))
$function$;
