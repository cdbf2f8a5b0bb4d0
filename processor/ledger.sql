-- lock_awaited --
-- $1 limit  $2 scopes  $3 payment ids to leave out. Payments that wait for an events row which is there now; those that
-- another transaction holds can wait.
SELECT p.scope, p.payment_id, p.events_id
FROM payment AS p
WHERE p.awaits_event
  AND EXISTS (SELECT FROM events AS e WHERE e.id = sluice_event_key(p.events_id))
  AND NOT EXISTS (
      SELECT
      FROM unnest($2::text[], $3::text[]) AS n(scope, payment_id)
      WHERE n.scope = p.scope AND n.payment_id = p.payment_id
  )
ORDER BY p.scope, p.payment_id
LIMIT $1
FOR NO KEY UPDATE OF p SKIP LOCKED;

-- stop_waiting --
-- $1 scopes  $2 payment ids
UPDATE payment AS p
SET awaits_event = false, updated_at = now()
FROM unnest($1::text[], $2::text[]) AS n(scope, payment_id)
WHERE p.scope = n.scope AND p.payment_id = n.payment_id;

-- read_concerned --
-- $1 scopes  $2 payment ids. Which events concerned which row.
SELECT DISTINCT p.events_id, p.scope, f.stripe_event_id
FROM unnest($1::text[], $2::text[]) AS n(scope, payment_id)
JOIN payment AS p USING (scope, payment_id)
JOIN payment_fact AS f USING (scope, payment_id)
WHERE p.events_id IS NOT NULL;
