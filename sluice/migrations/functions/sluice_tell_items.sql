-- Tells what an operation keeps of its items: of rows of webhook_logs, or of error_logs, with these ids. The words of `state`
-- are those of sluice/inbox/states.py; a test compares them.
CREATE OR REPLACE FUNCTION sluice_tell_items(of_errors boolean, ids text[]) RETURNS TABLE (item_id text, told jsonb)
    LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    IF of_errors THEN
        RETURN QUERY EXECUTE format($query$
            SELECT id::text, jsonb_build_object('state', CASE WHEN resolved THEN 'resolved' ELSE 'unresolved' END,
                                                'severity', severity)
            FROM error_logs WHERE id = ANY ($1::%s[])
        $query$, (SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'error_logs'::regclass AND attname = 'id'))
        USING ids;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT log.stripe_event_id::text, to_jsonb(log) - 'stripe_event_id'
    FROM (
        SELECT stripe_event_id,
               CASE
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at IS NULL AND outcome IS DISTINCT FROM 'fetching' THEN 'unfilled'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NOT NULL THEN 'published'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity' AND postponed_at IS NULL AND coalesce(outcome, '') NOT IN ('failed', 'parked') THEN 'queued'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity' AND postponed_at IS NULL AND outcome = 'failed' THEN 'failed'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity' AND postponed_at IS NULL AND outcome = 'parked' THEN 'parked'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity' AND postponed_at IS NOT NULL THEN 'postponed'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at = 'infinity' THEN 'paused'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at IS NULL AND outcome = 'fetching' THEN 'fetching'
                   WHEN NOT processed AND dead_at IS NOT NULL AND outcome IS DISTINCT FROM 'unsupported' THEN 'dead'
                   WHEN NOT processed AND dead_at IS NOT NULL AND outcome = 'unsupported' THEN 'unsupported'
                   WHEN processed IS NOT FALSE AND dead_at IS NULL AND outcome IS DISTINCT FROM 'unfetchable' THEN 'processed'
                   WHEN processed IS NOT FALSE AND dead_at IS NULL AND outcome = 'unfetchable' THEN 'unfetchable'
                   WHEN processed IS NOT FALSE AND dead_at IS NOT NULL THEN 'written_off'
               END AS state,
               outcome, processing_attempts AS attempts, last_error, next_attempt_at, dead_at, processed_at
        FROM webhook_logs
        WHERE stripe_event_id = ANY (ids)
    ) AS log;
END
$function$;
