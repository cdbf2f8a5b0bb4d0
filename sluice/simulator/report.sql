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

-- read_found --
-- $1 keys of webhook_logs. Those that were found at Stripe, how, and whether they are processed.
SELECT f.stripe_event_id, f.source, w.processed
FROM webhook_found AS f
INNER JOIN webhook_logs AS w ON f.stripe_event_id = w.stripe_event_id
WHERE f.stripe_event_id = ANY ($1::text[]);
