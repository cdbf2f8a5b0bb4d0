-- alone --
-- Ends with the transaction: nothing comes to wait for a pause after its end.
SELECT pg_advisory_xact_lock(hashtextextended('sluice pauses', 0));

-- decide --
-- $1 pause or resume  $2 what it is about, as JSON  $3 why  $4 who. Its operation, which has ended with it.
INSERT INTO operation (verb, filter, reason, person) VALUES ($1, $2::text::jsonb, $3, $4) RETURNING id;

-- close --
-- $1 operation.
UPDATE operation SET ended_at = now() WHERE id = $1;

-- begin --
-- $1 kind  $2 value  $3 operation. No row returned: such a pause is in force.
INSERT INTO pause (kind, value, began_by) VALUES ($1, $2, $3)
ON CONFLICT (kind, coalesce(value, '')) WHERE ended_at IS NULL DO NOTHING
RETURNING id;

-- end --
-- $1 pauses  $2 operation.
UPDATE pause
SET ended_at = now(),
    ended_by = $2
WHERE id = ANY ($1::bigint[]) AND ended_at IS NULL
RETURNING id;

-- open --
-- $1 the most to count of each. Pauses in force, and those that let webhooks go yet, the oldest first.
SELECT p.id, p.kind, p.value, p.began_at, b.person, b.login, b.reason, p.ended_at, e.person AS ended_by, w.waiting
FROM pause AS p
JOIN operation AS b ON b.id = p.began_by
LEFT JOIN operation AS e ON e.id = p.ended_by
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting FROM (SELECT FROM paused_webhook AS h WHERE h.pause_id = p.id LIMIT $1) AS held
) AS w
WHERE p.emptied_at IS NULL
ORDER BY p.id;

-- waits_for --
-- $1 stripe_event_id. The pause that a webhook waits for, and since when.
SELECT h.pause_id, h.paused_at FROM paused_webhook AS h WHERE h.stripe_event_id = $1;
