-- append_facts --
-- $1 scopes  $2 payment ids, to be locked; the facts: $3 scope  $4 payment_id  $5 stripe_event_id  $6 said_at in seconds
-- $7 kind  $8 object_id  $9 status  $10 amount  $11 amount_captured  $12 currency  $13 object_created in seconds
-- $14 parent_id  $15 $16 $17 the events row named by tenant, metadata, reference.
-- Lock, insert, and read in a later statement, then lock the events rows that may be concerned: all in one trip, see
-- migrations/sprint4_kept_plans.sql.
SELECT scope, payment_id, parent_id, events_id, bound_by, status, awaits_event, stripe_event_id, said_at, kind, object_id,
       fact_status, amount, amount_captured, currency, object_created, fact_parent, names_event, named_by,
       row_id, row_account, row_status, row_intent
FROM sluice_append_facts(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[],
    $10::bigint[], $11::bigint[], $12::text[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::text[]
);

-- find_children --
-- $1 scopes  $2 ids of invoices and subscriptions, all locked.
SELECT p.scope, p.payment_id
FROM unnest($1::text[], $2::text[]) AS n(scope, parent_id)
JOIN payment AS p USING (scope, parent_id);
