-- Deletes webhooks that were over before, with their repeats and deaths; not of disputed payments. Never one of the last 31
-- days, in which Stripe may send it again: its row is what tells a duplicate. What it said of a payment stays. At most so
-- many; how many it deleted.
CREATE OR REPLACE FUNCTION sluice_delete_webhooks(before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET timezone = 'UTC' AS $function$
DECLARE
    gone text[];
BEGIN
    IF before > now() - interval '31 days' THEN
        RAISE EXCEPTION 'A webhook is kept for 31 days at least: so long Stripe may send it again.';
    END IF;
    WITH old AS MATERIALIZED (
        SELECT log.id
        FROM webhook_logs AS log
        WHERE log.created_at < before AND log.processed AND coalesce(log.processed_at, log.created_at) < before
          AND NOT sluice_is_disputed(log.stripe_event_id::text)
        ORDER BY log.created_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ), deleted AS (
        DELETE FROM webhook_logs AS log WHERE log.id IN (SELECT old.id FROM old) RETURNING log.stripe_event_id
    )
    SELECT array_agg(deleted.stripe_event_id::text) INTO gone FROM deleted;
    DELETE FROM webhook_delivery WHERE stripe_event_id = ANY (gone);
    DELETE FROM webhook_death WHERE stripe_event_id = ANY (gone) AND died_at < before;
    RETURN coalesce(cardinality(gone), 0);
END
$function$;
