-- read_secrets --
-- $1 ids as the URLs had them. One row for each that names an events row: the id as asked, the id as PostgreSQL
-- writes it, the secret or NULL, cut off where it would be far too long. LATERAL … LIMIT keeps it an
-- index look-up whatever the planner believes.
SELECT asked.id AS asked, organiser.id AS tenant, organiser.webhook_secret AS secret
FROM unnest($1::text[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT events.id::text AS id, left(events.webhook_secret::text, 4096) AS webhook_secret
    FROM events
    WHERE events.id = sluice_event_key(asked.id)
    LIMIT 1
) AS organiser;
