-- Operators change rows by functions alone, and an operation may undo another.
--   psql "$DATABASE_URL" -f migrations/sprint3_operator_rights.sql      after sprint3_operations.sql, before functions.sql
-- replaces 3a028884b89b7d5b65ef109bc9d41282e501d02a948f177f5506823b84b483d7
-- One transaction, safe to run again. Until functions.sql has run, the verbs of `sluice` wait for it.
BEGIN;

DO $rights$
DECLARE
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    verbs text[];
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    ALTER TABLE operation ADD COLUMN IF NOT EXISTS undoes bigint REFERENCES operation;  -- of undo: the operation that it undoes
    -- One more verb, beside those that are there.
    SELECT array_agg(DISTINCT word[1]) INTO verbs
    FROM pg_constraint,
         regexp_matches(pg_get_constraintdef(oid), '''([a-z-]+)''', 'g') AS word
    WHERE conrelid = 'operation'::regclass AND conname = 'operation_verb_check';
    IF verbs IS NOT NULL AND 'undo' <> ALL (verbs) THEN
        ALTER TABLE operation DROP CONSTRAINT operation_verb_check;
        EXECUTE format('ALTER TABLE operation ADD CONSTRAINT operation_verb_check CHECK (verb IN (%s))',
                       (SELECT string_agg(quote_literal(verb), ', ' ORDER BY verb) FROM unnest(verbs || '{undo}') AS verb));
    END IF;
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'operation'::regclass AND conname = 'operation_check') THEN
        ALTER TABLE operation ADD CONSTRAINT operation_check CHECK ((verb = 'undo') = (undoes IS NOT NULL));
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_operator') THEN
        FOR item IN SELECT t AS name FROM unnest(ARRAY['webhook_logs', 'error_logs', 'operation', 'operation_item']) AS t LOOP
            EXECUTE format('REVOKE UPDATE ON %I FROM sluice_operator', item.name);  -- with those on single columns
        END LOOP;
        REVOKE INSERT ON error_logs FROM sluice_operator;
        GRANT INSERT (undoes) ON operation TO sluice_operator;
        BEGIN  -- to see who holds a lock
            IF NOT pg_has_role('sluice_operator', 'pg_read_all_stats', 'MEMBER') THEN
                GRANT pg_read_all_stats TO sluice_operator;
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN NULL;  -- `sluice sessions` says what to run
        END;
    END IF;
    -- The functions have the rights of the owner of webhook_logs. An earlier application's error_logs may be another's.
    FOR item IN SELECT quote_ident(relname) AS name, relrowsecurity FROM pg_class
                WHERE oid = 'error_logs'::regclass AND relowner <> owner
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO %s', item.name, owner);
        IF item.relrowsecurity
           AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = 'error_logs'::regclass AND polname = 'sluice_functions') THEN
            EXECUTE format('CREATE POLICY sluice_functions ON %s TO %s USING (true) WITH CHECK (true)', item.name, owner);
        END IF;
    END LOOP;
    FOR item IN
        SELECT s.oid::regclass AS name  -- an earlier application's serial ids
        FROM pg_attrdef a
        JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
        WHERE a.adrelid = 'error_logs'::regclass AND s.relowner <> owner
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', item.name, owner);
    END LOOP;
END
$rights$;

COMMIT;
