-- lock_nodes --
-- $1 scopes  $2 payment ids. Creates those that nobody knows, locks the others and what is known to stand above them;
-- sorted, so that two transactions never wait for one another in a circle. One that another transaction created while
-- this statement ran is left out: the next statement sees it.
-- LATERAL keeps the plan at one index look-up for each node, whatever the planner thinks of the table's size.
WITH RECURSIVE wanted AS (
    SELECT n.scope, n.payment_id
    FROM unnest($1::text[], $2::text[]) AS n(scope, payment_id)
    UNION
    SELECT w.scope, above.parent_id
    FROM wanted AS w
    CROSS JOIN LATERAL (
        SELECT p.parent_id
        FROM payment AS p
        WHERE p.scope = w.scope AND p.payment_id = w.payment_id AND p.parent_id IS NOT NULL
        OFFSET 0
    ) AS above
),
created AS (
    INSERT INTO payment (scope, payment_id)
    SELECT n.scope, n.payment_id
    FROM unnest($1::text[], $2::text[]) AS n(scope, payment_id)
    ORDER BY n.scope, n.payment_id
    ON CONFLICT (scope, payment_id) DO NOTHING
    RETURNING scope, payment_id, parent_id, events_id, bound_by, status, awaits_event
)
SELECT node.scope, node.payment_id, node.parent_id, node.events_id, node.bound_by, node.status, node.awaits_event
FROM (SELECT w.scope, w.payment_id FROM wanted AS w ORDER BY w.scope, w.payment_id) AS w
CROSS JOIN LATERAL (
    SELECT p.scope, p.payment_id, p.parent_id, p.events_id, p.bound_by, p.status, p.awaits_event
    FROM payment AS p
    WHERE p.scope = w.scope AND p.payment_id = w.payment_id
    FOR NO KEY UPDATE
) AS node
UNION ALL
SELECT scope, payment_id, parent_id, events_id, bound_by, status, awaits_event
FROM created;

-- record_facts --
-- $1 scope  $2 payment_id  $3 stripe_event_id  $4 said_at in seconds  $5 kind  $6 object_id  $7 status  $8 amount
-- $9 amount_captured  $10 currency  $11 object_created in seconds  $12 parent_id
-- $13 $14 $15 the events row named by tenant, metadata, reference.
-- The first of the three that can be a key of events is kept as that key is written; where none can, the first is kept
-- as it came, with named_by NULL, and binds nothing.
WITH said AS MATERIALIZED (
    SELECT f.*,
           sluice_event_key(f.tenant)::text AS tenant_key,
           sluice_event_key(f.metadata)::text AS metadata_key,
           sluice_event_key(f.reference)::text AS reference_key
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[])
         AS f(scope, payment_id, stripe_event_id, said_at, kind, object_id, status, amount,
              amount_captured, currency, object_created, parent_id, tenant, metadata, reference)
)
INSERT INTO payment_fact (
    scope, payment_id, stripe_event_id, said_at, kind, object_id, status, amount, amount_captured, currency,
    object_created_at, parent_id, names_event, named_by
)
SELECT s.scope, s.payment_id, s.stripe_event_id, to_timestamp(s.said_at), s.kind, s.object_id, s.status, s.amount,
       s.amount_captured, s.currency, to_timestamp(s.object_created), s.parent_id,
       coalesce(s.tenant_key, s.metadata_key, s.reference_key, s.tenant, s.metadata, s.reference),
       CASE
         WHEN s.tenant_key IS NOT NULL THEN 'tenant'
         WHEN s.metadata_key IS NOT NULL THEN 'metadata'
         WHEN s.reference_key IS NOT NULL THEN 'reference'
       END
FROM said AS s
ORDER BY s.scope, s.payment_id, s.stripe_event_id
ON CONFLICT (scope, payment_id, stripe_event_id) DO NOTHING;

-- read_facts --
-- $1 scopes  $2 payment ids, all locked by an earlier statement: this one's snapshot sees what was committed meanwhile.
-- $3 $4 those that have no row yet: whether a row of an allowed account stores such an id of its own accord, and not
-- because Sluice projected it. Should another transaction replace the stored id, that one's remember_rows leaves the
-- claim among the facts: this snapshot has either the one or the other.
SELECT f.scope, f.payment_id, f.stripe_event_id, extract(epoch FROM f.said_at)::bigint AS said_at, f.kind, f.object_id,
       f.status, f.amount, f.amount_captured, f.currency, extract(epoch FROM f.object_created_at)::bigint AS object_created,
       f.parent_id, f.names_event, f.named_by
FROM unnest($1::text[], $2::text[]) AS n(scope, payment_id)
CROSS JOIN LATERAL (
    SELECT *
    FROM payment_fact AS g
    WHERE g.scope = n.scope AND g.payment_id = n.payment_id
    OFFSET 0
) AS f
UNION ALL
SELECT n.scope, n.payment_id, 'stored:' || e.id::text, 0, 'stored', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       e.id::text, 'stored'
FROM unnest($3::text[], $4::text[]) AS n(scope, payment_id)
JOIN events AS e ON e.stripe_payment_intent_id = n.payment_id
WHERE n.scope IN ('live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                  'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'))
  AND NOT EXISTS (
      SELECT
      FROM payment AS p
      WHERE p.payment_id = e.stripe_payment_intent_id
        AND p.events_id = e.id::text
        AND p.scope IN ('tenant:' || e.id::text,
                        'live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                        'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'))
        AND NOT p.awaits_event
  );

-- find_children --
-- $1 scopes  $2 ids of invoices and subscriptions, all locked.
SELECT p.scope, p.payment_id
FROM unnest($1::text[], $2::text[]) AS n(scope, parent_id)
JOIN payment AS p USING (scope, parent_id);

-- store_nodes --
-- $1 scope  $2 payment_id  $3 parent_id  $4 events_id  $5 bound_by  $6 status  $7 rank  $8 awaits_event
UPDATE payment AS p
SET parent_id = n.parent_id,
    events_id = n.events_id,
    bound_by = n.bound_by,
    status = n.status,
    rank = n.rank,
    awaits_event = n.awaits_event,
    updated_at = now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::boolean[])
     AS n(scope, payment_id, parent_id, events_id, bound_by, status, rank, awaits_event)
WHERE p.scope = n.scope AND p.payment_id = n.payment_id;
