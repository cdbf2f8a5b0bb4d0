-- add_facts --
-- $1 scopes  $2 payment ids, to be locked  $3 whether to look for rows that store such an id in any case; the facts:
-- $4 scope  $5 payment_id  $6 stripe_event_id  $7 said_at in seconds  $8 kind  $9 object_id  $10 status  $11 amount
-- $12 amount_captured  $13 currency  $14 object_created in seconds  $15 parent_id  $16 $17 $18 the events row named by
-- tenant, metadata, reference  $19 amount_released  $20 destination  $21 on_behalf_of.
-- Lock, insert, and read in a later statement, then lock the events rows that may be concerned: all in one trip, see
-- migrations/functions/sluice_add_facts.sql.
SELECT scope, payment_id, parent_id, events_id, bound_by, status, awaits_event, awaits, is_open, stripe_event_id, said_at,
       kind, object_id, fact_status, amount, amount_captured, currency, object_created, fact_parent, names_event, named_by,
       refers_to, amount_released, destination, on_behalf_of, row_id, row_account, row_status, row_intent, row_is_locked
FROM sluice_add_facts(
    $1::text[], $2::text[], $3::boolean, $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[],
    $10::text[], $11::bigint[], $12::bigint[], $13::text[], $14::bigint[], $15::text[], $16::text[], $17::text[],
    $18::text[], $19::bigint[], $20::text[], $21::text[]
);

-- find_children --
-- $1 scopes  $2 ids of invoices and subscriptions, all locked.
SELECT p.scope, p.payment_id
FROM unnest($1::text[], $2::text[]) AS n(scope, parent_id)
JOIN payment AS p USING (scope, parent_id);
