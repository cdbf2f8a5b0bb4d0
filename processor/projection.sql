-- lock_rows --
-- $1 events ids  $2 scopes. Locks the rows that may be touched from these scopes, sorted; a row that belongs to
-- another account is neither locked nor returned. NO KEY: who refers to the row by a foreign key does not wait for us.
SELECT row.events_id, row.account, row.payment_status, row.stripe_payment_intent_id
FROM (
    SELECT DISTINCT sluice_event_key(n.events_id) AS key, n.scope
    FROM unnest($1::text[], $2::text[]) AS n(events_id, scope)
    ORDER BY 1, 2
) AS wanted
CROSS JOIN LATERAL (
    SELECT e.id::text AS events_id, nullif(e.stripe_account_id, '') AS account, e.payment_status,
           e.stripe_payment_intent_id
    FROM events AS e
    WHERE e.id = wanted.key
      AND wanted.scope IN ('tenant:' || e.id::text,
                           'live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                           'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'))
    FOR NO KEY UPDATE
) AS row;

-- find_rows --
-- $1 events ids. Which of them exist, whoever they belong to.
SELECT n.events_id
FROM unnest($1::text[]) AS n(events_id)
WHERE EXISTS (SELECT FROM events AS e WHERE e.id = sluice_event_key(n.events_id));

-- remember_rows --
-- $1 events ids, all locked. What a row said before Sluice first wrote to it: its status, to be restored should its last
-- payment turn out to be another row's; and the intent that it stored, as a claim on that payment. A row that shows what
-- Sluice projected is left out: there the stored payment is known as bound to it.
WITH own_word AS (
    SELECT e.id::text AS events_id, e.payment_status AS status, e.stripe_payment_intent_id AS intent,
           coalesce(nullif(e.stripe_account_id, ''), 'platform') AS account
    FROM unnest($1::text[]) AS n(events_id)
    JOIN events AS e ON e.id = sluice_event_key(n.events_id)
    WHERE (e.payment_status IS DISTINCT FROM 'pending' OR e.stripe_payment_intent_id IS NOT NULL)
      AND NOT EXISTS (
          SELECT
          FROM payment AS p
          WHERE p.payment_id = e.stripe_payment_intent_id
            AND p.events_id = e.id::text
            AND p.scope IN ('tenant:' || e.id::text,
                            'live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                            'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'))
            AND NOT p.awaits_event
      )
)
INSERT INTO payment_fact (
    scope, payment_id, stripe_event_id, said_at, kind, status, object_id, names_event, named_by
)
SELECT 'events', r.events_id, 'stored', timestamptz 'epoch', 'stored', r.status, r.intent, NULL, NULL
FROM own_word AS r
UNION ALL
SELECT m.mode || ':' || r.account, r.intent, 'stored:' || r.events_id, timestamptz 'epoch', 'stored', NULL, NULL,
       r.events_id, 'stored'
FROM own_word AS r
CROSS JOIN (VALUES ('live'), ('test')) AS m(mode)
WHERE length(r.intent) BETWEEN 1 AND 255
ORDER BY 1, 2, 3
ON CONFLICT (scope, payment_id, stripe_event_id) DO NOTHING;

-- project_rows --
-- $1 events ids, all locked  $2 whether a payment has just left that row  $3 $4 events ids and the webhooks that
-- concerned them. A row shows the first entry of payment_of_event over its scopes; that costs the same for any number of
-- payments. A row that never had a payment keeps what it says; one that lost its last gets that back.
WITH receipt AS (
    SELECT c.events_id, 'epoch'::timestamp + max(extract(epoch FROM w.created_at)) * interval '1 second' AS received_at
    FROM unnest($3::text[], $4::text[]) AS c(events_id, stripe_event_id)
    JOIN webhook_logs AS w USING (stripe_event_id)
    GROUP BY c.events_id
),
shown AS (
    SELECT e.id, n.was_left, first.status, first.payment_id, receipt.received_at,
           before.id IS NOT NULL AS is_remembered, before.status AS status_before, before.object_id AS intent_before
    FROM unnest($1::text[], $2::boolean[]) AS n(events_id, was_left)
    JOIN events AS e ON e.id = sluice_event_key(n.events_id)
    LEFT JOIN receipt ON receipt.events_id = n.events_id
    LEFT JOIN payment_fact AS before
           ON n.was_left AND before.scope = 'events' AND before.payment_id = n.events_id
              AND before.stripe_event_id = 'stored'
    LEFT JOIN LATERAL (
        SELECT best.status, best.payment_id
        FROM unnest(ARRAY['tenant:' || n.events_id,
                          'live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                          'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform')]) AS s(scope)
        CROSS JOIN LATERAL (
            SELECT p.status, p.rank, p.payment_id
            FROM payment AS p
            WHERE p.events_id = n.events_id AND p.scope = s.scope AND p.rank IS NOT NULL
            ORDER BY p.rank, p.payment_id
            LIMIT 1
        ) AS best
        ORDER BY best.rank, best.payment_id
        LIMIT 1
    ) AS first ON true
)
UPDATE events AS e
SET payment_status = CASE
        WHEN s.status IS NOT NULL THEN s.status
        WHEN s.was_left AND s.is_remembered THEN s.status_before
        WHEN s.was_left THEN 'pending'
        ELSE e.payment_status
    END,
    stripe_payment_intent_id = CASE
        WHEN s.status IS NOT NULL THEN s.payment_id
        WHEN s.was_left THEN s.intent_before
        ELSE e.stripe_payment_intent_id
    END,
    last_webhook_received = greatest(e.last_webhook_received, s.received_at)
FROM shown AS s
WHERE e.id = s.id;
