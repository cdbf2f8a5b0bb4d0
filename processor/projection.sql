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

-- show_payments --
-- $1 events ids whose own words are kept first; the payments to store: $2 scope  $3 payment_id  $4 parent_id  $5 events_id
-- $6 bound_by  $7 status  $8 rank  $9 awaits_event; $10 $11 scopes and ids of subscriptions, whose rows show the binding
-- that the ledger has found; $12 events ids, all locked  $13 whether a payment has just left that row  $14 $15 events ids
-- and the webhooks that concerned them. One trip, see migrations/sprint4_kept_plans.sql.
SELECT sluice_show_payments(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::smallint[], $9::boolean[],
    $10::text[], $11::text[], $12::text[], $13::boolean[], $14::text[], $15::text[]
);
