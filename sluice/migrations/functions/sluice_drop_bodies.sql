-- Drops a day's partition: 'dropped'; 'needed': bodies in it are (see sluice_keep_bodies); 'missing'. Whoever reads a body
-- of that day is waited for, for three seconds: autovacuum gives way after one (deadlock_timeout). Then whoever writes one of
-- today, for less; what queues behind us waits no longer. A replay that has read a body holds the partition until it
-- commits, and is seen then.
CREATE OR REPLACE FUNCTION sluice_drop_bodies(day date) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    first_id bigint := to_char(day, 'YYYYMMDD')::bigint * 10000000000;
    leaf text := 'webhook_body_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF day >= (now() AT TIME ZONE 'UTC')::date - 1 THEN
        RAISE EXCEPTION 'The bodies of % are too young to go.', day;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice maintain', 0));
    IF to_regclass(leaf) IS NULL THEN
        RETURN 'missing';
    END IF;
    PERFORM set_config('lock_timeout', '3s', true);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', leaf);
    IF EXISTS (SELECT FROM webhook_logs AS log
               WHERE NOT log.processed AND log.body_id >= first_id AND log.body_id < first_id + 10000000000)
       OR EXISTS (SELECT FROM payment
                  JOIN payment_fact AS fact ON fact.scope = payment.scope AND fact.payment_id = payment.payment_id
                  JOIN webhook_logs AS log ON log.stripe_event_id = fact.stripe_event_id
                  WHERE payment.status = 'disputed' AND log.body_id >= first_id AND log.body_id < first_id + 10000000000)
    THEN
        RETURN 'needed';
    END IF;
    -- Its TOAST table is vacuumed by itself, and no LOCK TABLE reaches that; waited for here, it holds up no writer.
    EXECUTE format('TRUNCATE %I', leaf);
    PERFORM set_config('lock_timeout', '300ms', true);
    EXECUTE format('DROP TABLE %I', leaf);
    UPDATE body_storage
    SET kept_from = coalesce((
        SELECT min(substr(c.relname, 14)::bigint) * 10000000000
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'webhook_body'::regclass AND c.relname ~ '^webhook_body_[0-9]{8}$'
    ), first_id + 10000000000);
    RETURN 'dropped';
END
$function$;
