-- A dead webhook that Stripe sends again, byte for byte, gets another life; ingest may give it, and change nothing else.
--   psql "$DATABASE_URL" -f migrations/sprint5_journal.sql      after the foundation, each time that is run
-- One transaction, safe to run again. The services of the release before do not know it and go on as they did.
BEGIN;

DO $journal$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    before text[] := ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = 'webhook_logs'::regclass AND attnum > 0
                                                                  AND NOT attisdropped);
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    -- A constant default is kept beside the table: no row is written.
    ALTER TABLE webhook_logs
        ADD COLUMN IF NOT EXISTS revivals    integer NOT NULL DEFAULT 0,  -- lives after the first
        ADD COLUMN IF NOT EXISTS revived_at  timestamptz;                 -- when the newest of them began
    INSERT INTO sluice_addition (kind, table_name, name)
    SELECT 'column', 'webhook_logs', added.name
    FROM unnest(ARRAY['revivals', 'revived_at']) AS added (name)
    WHERE added.name <> ALL (before)
    ON CONFLICT DO NOTHING;

    -- Makes a dead row due as if never tried; its last error stays to be read. What this release does not support would die
    -- again at once, and stays dead. A row that somebody holds is not waited for. Says what the row is now: 'revived';
    -- 'alive', since another delivery was quicker; or 'held': then the delivery must be refused, so that it comes again.
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_revive_webhook(event_id text, same_body bytea) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, %I, pg_temp AS $function$
BEGIN
    UPDATE webhook_logs AS log
    SET dead_at = NULL,
        parked_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        postponed_at = NULL,
        published_at = NULL,
        next_attempt_at = now(),
        revivals = log.revivals + 1,
        revived_at = now()
    WHERE log.id = ANY (ARRAY(
        SELECT dead.id
        FROM webhook_logs AS dead
        WHERE dead.stripe_event_id = event_id AND dead.dead_at IS NOT NULL AND NOT dead.processed
          AND dead.outcome IS DISTINCT FROM 'unsupported' AND dead.body = same_body
        FOR UPDATE SKIP LOCKED
    ));
    IF FOUND THEN
        RETURN 'revived';
    END IF;
    -- A statement of its own sees what another delivery has committed meanwhile.
    IF EXISTS (SELECT FROM webhook_logs AS log WHERE log.stripe_event_id = event_id AND log.dead_at IS NOT NULL
                                                     AND NOT log.processed) THEN
        RETURN 'held';
    END IF;
    RETURN 'alive';
END
$function$
    $create$, current_schema());

    -- It has the rights of the table's owner, and so have the table's triggers: nobody else's, should a superuser run this.
    IF owner <> current_user::regrole THEN
        BEGIN
            EXECUTE format('ALTER FUNCTION sluice_revive_webhook(text, bytea) OWNER TO %s', owner);
        EXCEPTION WHEN insufficient_privilege THEN NULL;  -- whoever may alter the table has the owner's rights already
        END;
    END IF;

    FOR item IN SELECT 'PUBLIC' AS grantee UNION ALL
                SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION sluice_revive_webhook(text, bytea) FROM %s', item.grantee);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_ingest') THEN
        GRANT EXECUTE ON FUNCTION sluice_revive_webhook(text, bytea) TO sluice_ingest;
    ELSE
        RAISE WARNING 'The role sluice_ingest does not exist: make it, then run the foundation and this file again.';
    END IF;
END
$journal$;

COMMIT;
