-- count_logged --
-- $1 keys of webhook_logs. Key, whether it is settled (processed or dead), its repeats, and whether Stripe's API gave it.
SELECT w.stripe_event_id,
       (w.processed OR w.dead_at IS NOT NULL) AS settled,
       (SELECT count(*) FROM webhook_delivery AS d WHERE d.stripe_event_id = w.stripe_event_id) AS repeats,
       (w.verified_by IS NOT DISTINCT FROM 'api') AS is_found
FROM webhook_logs AS w
WHERE w.stripe_event_id = ANY ($1::text[]);

-- read_statuses --
-- $1 events.id as text
SELECT id::text AS id, payment_status
FROM events
WHERE id = ANY (SELECT sluice_event_key(wanted) FROM unnest($1::text[]) AS wanted);
