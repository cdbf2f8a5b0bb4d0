-- Moves bodies that are still needed from a day's partition into their rows: of webhooks that are not processed, dead ones
-- among them, and of disputed payments. At most so many; how many it moved. A row that somebody holds is left for the next
-- call.
CREATE OR REPLACE FUNCTION sluice_keep_bodies(day date, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    first_id bigint := to_char(day, 'YYYYMMDD')::bigint * 10000000000;
    moved integer;
BEGIN
    PERFORM set_config('lock_timeout', '1s', true);
    WITH needed AS (
        (SELECT log.id
         FROM webhook_logs AS log
         WHERE NOT log.processed AND log.body_id >= first_id AND log.body_id < first_id + 10000000000
         LIMIT most)
        UNION
        (SELECT log.id
         FROM payment
         JOIN payment_fact AS fact ON fact.scope = payment.scope AND fact.payment_id = payment.payment_id
         JOIN webhook_logs AS log ON log.stripe_event_id = fact.stripe_event_id
         WHERE payment.status = 'disputed' AND log.body_id >= first_id AND log.body_id < first_id + 10000000000
         LIMIT most)
    ), held AS MATERIALIZED (
        SELECT log.id, log.body_id FROM webhook_logs AS log WHERE log.id IN (SELECT needed.id FROM needed)
        FOR UPDATE SKIP LOCKED
    )
    UPDATE webhook_logs AS log
    SET body = stored.body,
        body_id = NULL
    FROM held
    JOIN sluice_bodies(ARRAY(SELECT locked.body_id FROM held AS locked)) AS stored ON stored.id = held.body_id
    WHERE log.id = held.id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$function$;
