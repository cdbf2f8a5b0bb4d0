-- lock_rows --
-- $1 events ids. Locks these rows, sorted. NO KEY: who refers to the row by a foreign key does not wait for us.
SELECT row.events_id, row.account, row.payment_status, row.stripe_payment_intent_id
FROM (
    SELECT DISTINCT sluice_event_key(n.events_id) AS key FROM unnest($1::text[]) AS n(events_id) ORDER BY 1
) AS wanted
CROSS JOIN LATERAL (
    SELECT e.id::text AS events_id, nullif(e.stripe_account_id, '') AS account, e.payment_status,
           e.stripe_payment_intent_id
    FROM events AS e
    WHERE e.id = wanted.key
    FOR NO KEY UPDATE
) AS row;

-- store_payments --
-- $1 events ids whose own words are kept first; the payments to store: $2 scope  $3 payment_id  $4 parent_id  $5 events_id
-- $6 bound_by  $7 status  $8 rank  $9 awaits_event  $10 rows that would be preferred, a line each  $11 whether a row may
-- move it; $12 $13 scopes and ids of subscriptions, whose rows show the binding that the ledger has found; $14 events ids,
-- all locked  $15 whether a payment has just left that row  $16 $17 events ids and the webhooks that concerned them.
-- One trip, see migrations/functions/sluice_store_payments.sql.
SELECT sluice_store_payments(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::smallint[], $9::boolean[],
    $10::text[], $11::boolean[], $12::text[], $13::text[], $14::text[], $15::boolean[], $16::text[], $17::text[]
);
