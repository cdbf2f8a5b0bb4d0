-- take_turn --
-- One processor at a time looks through the payments; the lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('sluice row watch', 0));

-- find_newest --
-- $1 the most to look at. The payments that have waited for the shortest time: most rows are written within seconds.
SELECT opened_at, scope, payment_id
FROM payment
WHERE opened_at IS NOT NULL
ORDER BY opened_at DESC, scope DESC, payment_id DESC
LIMIT $1;

-- find_next --
-- $1 $2 $3 the last one looked at: opened_at, scope, payment_id  $4 the most to look at. The others, in turn.
SELECT opened_at, scope, payment_id
FROM payment
WHERE opened_at IS NOT NULL AND (opened_at, scope, payment_id) > ($1::timestamptz, $2::text, $3::text)
ORDER BY opened_at, scope, payment_id
LIMIT $4;

-- find_movable --
-- $1 scopes  $2 payment ids. Of these open payments those that a row moves now: one that stores the id of a payment which
-- has no row, or one that is preferred; and those that were settled by a rule of an earlier release.
SELECT p.scope, p.payment_id
FROM unnest($1::text[], $2::text[]) AS n(scope, payment_id)
CROSS JOIN LATERAL (
    SELECT q.scope, q.payment_id, q.parent_id, q.events_id, q.awaits_event, q.awaits
    FROM payment AS q
    WHERE q.scope = n.scope AND q.payment_id = n.payment_id
    OFFSET 0
) AS p
WHERE (p.awaits IS NULL AND (p.events_id IS NOT NULL OR starts_with(p.payment_id, 'in_') OR starts_with(p.payment_id, 'sub_')))
   OR EXISTS (
       SELECT
       FROM string_to_array(p.awaits, E'\n') AS keys, unnest(keys) AS k(key)
       CROSS JOIN LATERAL (
           SELECT e.id::text AS id, coalesce(nullif(e.stripe_account_id, ''), 'platform') AS account
           FROM events AS e WHERE e.id = sluice_event_key(k.key) OFFSET 0
       ) AS row
       WHERE p.scope = ANY (sluice_payment_scopes(row.id, row.account))
          OR (p.scope IN ('live:platform', 'test:platform') AND EXISTS (
              SELECT FROM payment_fact AS f
              WHERE f.scope = p.scope AND row.account IN (f.destination, f.on_behalf_of)
                AND f.payment_id IN (p.payment_id, p.parent_id, (
                    SELECT q.parent_id FROM payment AS q WHERE q.scope = p.scope AND q.payment_id = p.parent_id))
          ))
   )
   OR ((p.events_id IS NULL OR p.awaits_event) AND NOT starts_with(p.payment_id, 'in_')
       AND NOT starts_with(p.payment_id, 'sub_') AND EXISTS (
       SELECT
       FROM (
           SELECT e.id::text AS id, coalesce(nullif(e.stripe_account_id, ''), 'platform') AS account
           FROM events AS e WHERE e.stripe_payment_intent_id = p.payment_id OFFSET 0
       ) AS row
       WHERE (p.scope = ANY (sluice_payment_scopes(NULL, row.account))
              OR (p.scope IN ('live:platform', 'test:platform') AND EXISTS (
                  SELECT FROM payment_fact AS f
                  WHERE f.scope = p.scope AND row.account IN (f.destination, f.on_behalf_of)
                    AND f.payment_id IN (p.payment_id, p.parent_id, (
                        SELECT q.parent_id FROM payment AS q WHERE q.scope = p.scope AND q.payment_id = p.parent_id))
              )))
         AND NOT EXISTS (
             SELECT FROM payment AS other
             WHERE other.payment_id = p.payment_id AND other.events_id = row.id AND NOT other.awaits_event
               AND other.scope = ANY (sluice_shown_scopes(row.id, row.account))
         )
   ));

-- find_bound --
-- $1 $2 $3 $4 the last one looked at: events_id, scope, rank, payment_id  $5 the most to look at. Payments that a row shows.
SELECT events_id, scope, rank, payment_id
FROM payment
WHERE events_id IS NOT NULL AND rank IS NOT NULL
  AND (events_id, scope, rank, payment_id) > ($1::text, $2::text, $3::smallint, $4::text)
ORDER BY events_id, scope, rank, payment_id
LIMIT $5;

-- find_unshown --
-- $1 scopes  $2 payment ids. Of these payments those whose row has vanished, has become another account's, or was made
-- anew and does not show them.
SELECT p.scope, p.payment_id
FROM unnest($1::text[], $2::text[]) AS n(scope, payment_id)
CROSS JOIN LATERAL (
    SELECT q.scope, q.payment_id, q.parent_id, q.events_id, q.status
    FROM payment AS q
    WHERE q.scope = n.scope AND q.payment_id = n.payment_id AND q.events_id IS NOT NULL AND NOT q.awaits_event
    OFFSET 0
) AS p
LEFT JOIN LATERAL (
    SELECT e.id::text AS id, coalesce(nullif(e.stripe_account_id, ''), 'platform') AS account,
           e.stripe_payment_intent_id AS shown, e.payment_status
    FROM events AS e
    WHERE e.id = sluice_event_key(p.events_id)
    OFFSET 0
) AS row ON true
WHERE row.id IS NULL
   OR row.shown IS NULL
   OR (row.payment_status = 'pending' AND p.status <> 'pending' AND EXISTS (  -- an id that is new to us is left to stand
       SELECT FROM payment AS own
       WHERE own.payment_id = row.shown AND own.events_id = row.id AND NOT own.awaits_event
         AND own.scope = ANY (sluice_shown_scopes(row.id, row.account))
   ))
   OR NOT (p.scope = ANY (sluice_payment_scopes(row.id, row.account))
           OR (p.scope IN ('live:platform', 'test:platform') AND EXISTS (
               SELECT FROM payment_fact AS f
               WHERE f.scope = p.scope AND row.account IN (f.destination, f.on_behalf_of)
                 AND f.payment_id IN (p.payment_id, p.parent_id, (
                     SELECT q.parent_id FROM payment AS q WHERE q.scope = p.scope AND q.payment_id = p.parent_id))
           )));

-- lock --
-- $1 scopes  $2 payment ids. Those that another transaction holds can wait.
SELECT p.scope, p.payment_id
FROM unnest($1::text[], $2::text[]) AS n(scope, payment_id)
JOIN payment AS p ON p.scope = n.scope AND p.payment_id = n.payment_id
ORDER BY p.scope, p.payment_id
FOR NO KEY UPDATE OF p SKIP LOCKED;
