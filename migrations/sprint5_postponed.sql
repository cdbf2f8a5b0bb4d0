-- An event that others hold up is postponed and counts no attempt. From here on its row says since when, so that it ends
-- dead, with its reason, when that lasts for as long as its attempts might.
--   psql "$DATABASE_URL" -f migrations/sprint5_postponed.sql      after the foundation, each time that is run
-- One transaction, safe to run again; adds one column without a default, which rewrites nothing.
BEGIN;

DO $postponed$
DECLARE
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    IF NOT EXISTS (SELECT FROM pg_attribute
                   WHERE attrelid = 'webhook_logs'::regclass AND attname = 'postponed_at' AND NOT attisdropped) THEN
        ALTER TABLE webhook_logs ADD COLUMN postponed_at timestamptz;
        INSERT INTO sluice_addition (kind, table_name, name) VALUES ('column', 'webhook_logs', 'postponed_at')
        ON CONFLICT DO NOTHING;
    END IF;

    -- Brings an event back later, each time a little later, or ends it when it has been postponed for too long. It starts
    -- afresh when somebody replays it. No row returned: it is over, or on record already.
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_postpone_webhook(
    event_id text, attempt integer, reason text, patience_seconds double precision
) RETURNS TABLE (is_first boolean, is_dead boolean, postponed_since timestamptz)
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, %I, pg_temp AS $function$
    UPDATE webhook_logs AS w
    SET last_error = CASE WHEN before.is_over
            THEN left('given up after ' || date_trunc('second', now() - before.postponed_at) || ', ' || reason, 500)
            ELSE reason
        END,
        outcome = CASE WHEN before.is_over THEN 'failed' ELSE w.outcome END,
        processing_attempts = w.processing_attempts + before.is_over::integer,
        published_at = NULL,
        solo_starts = 0,
        next_attempt_at = now() + (0.85 + 0.3 * random())
            * least(interval '5 minutes', interval '2 seconds' * 2 ^ least(w.publications, 8)),
        postponed_at = CASE WHEN NOT before.is_over THEN coalesce(before.postponed_at, now()) END,
        dead_at = CASE WHEN before.is_over THEN now() END
    FROM (
        SELECT log.id, log.postponed_at,
               coalesce(log.postponed_at <= now() - patience_seconds * interval '1 second', false) AS is_over
        FROM webhook_logs AS log
        WHERE log.stripe_event_id = event_id
          AND log.processing_attempts = attempt
          AND NOT log.processed
          AND log.dead_at IS NULL
        FOR UPDATE
    ) AS before
    WHERE w.id = before.id
    RETURNING before.postponed_at IS NULL, before.is_over, coalesce(before.postponed_at, now())
$function$
    $create$, current_schema());

    FOR item IN SELECT 'PUBLIC' AS grantee UNION ALL
                SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
    LOOP
        EXECUTE format(
            'REVOKE ALL ON FUNCTION sluice_postpone_webhook(text, integer, text, double precision) FROM %s', item.grantee
        );
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_processor') THEN
        GRANT EXECUTE ON FUNCTION sluice_postpone_webhook(text, integer, text, double precision) TO sluice_processor;
        GRANT UPDATE (postponed_at) ON webhook_logs TO sluice_processor;
    ELSE
        RAISE WARNING 'The role sluice_processor does not exist: make it, then run the foundation and this file again.';
    END IF;
END
$postponed$;

COMMIT;
