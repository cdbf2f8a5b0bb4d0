-- keep_invoices --
-- $1 scope  $2 invoice_id  $3 status  $4 subscription_id  $5 customer_id  $6 amount_due  $7 amount_paid  $8 currency
-- $9 said_at in seconds  $10 stripe_event_id  $11 statuses, the one that wins within a second last
INSERT INTO invoice AS kept (
    scope, invoice_id, status, subscription_id, customer_id, amount_due, amount_paid, currency, said_at, stripe_event_id
)
SELECT n.scope, n.invoice_id, n.status, n.subscription_id, n.customer_id, n.amount_due, n.amount_paid, n.currency,
       to_timestamp(n.said_at), n.stripe_event_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[],
            $9::bigint[], $10::text[])
     AS n(scope, invoice_id, status, subscription_id, customer_id, amount_due, amount_paid, currency, said_at,
          stripe_event_id)
ORDER BY n.scope, n.invoice_id
ON CONFLICT (scope, invoice_id) DO UPDATE
SET status = excluded.status,
    subscription_id = excluded.subscription_id,
    customer_id = excluded.customer_id,
    amount_due = excluded.amount_due,
    amount_paid = excluded.amount_paid,
    currency = excluded.currency,
    said_at = excluded.said_at,
    stripe_event_id = excluded.stripe_event_id,
    updated_at = now()
WHERE (excluded.said_at, coalesce(array_position($11::text[], excluded.status), 0),
       excluded.stripe_event_id COLLATE "C")
    > (kept.said_at, coalesce(array_position($11::text[], kept.status), 0), kept.stripe_event_id COLLATE "C");

-- keep_subscriptions --
-- $1 scope  $2 subscription_id  $3 status  $4 customer_id  $5 current_period_end in seconds  $6 cancel_at_period_end
-- $7 said_at in seconds  $8 stripe_event_id  $9 statuses, the one that wins within a second last
-- The events row is what the ledger knows by now; the ledger itself corrects it when it learns more.
INSERT INTO subscription AS kept (
    scope, subscription_id, status, customer_id, events_id, current_period_end, cancel_at_period_end, said_at,
    stripe_event_id
)
SELECT n.scope, n.subscription_id, n.status, n.customer_id, p.events_id, to_timestamp(n.current_period_end),
       n.cancel_at_period_end, to_timestamp(n.said_at), n.stripe_event_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::boolean[], $7::bigint[], $8::text[])
     AS n(scope, subscription_id, status, customer_id, current_period_end, cancel_at_period_end, said_at,
          stripe_event_id)
LEFT JOIN payment AS p ON p.scope = n.scope AND p.payment_id = n.subscription_id
ORDER BY n.scope, n.subscription_id
ON CONFLICT (scope, subscription_id) DO UPDATE
SET status = excluded.status,
    customer_id = excluded.customer_id,
    events_id = excluded.events_id,
    current_period_end = excluded.current_period_end,
    cancel_at_period_end = excluded.cancel_at_period_end,
    said_at = excluded.said_at,
    stripe_event_id = excluded.stripe_event_id,
    updated_at = now()
WHERE (excluded.said_at, coalesce(array_position($9::text[], excluded.status), 0),
       excluded.stripe_event_id COLLATE "C")
    > (kept.said_at, coalesce(array_position($9::text[], kept.status), 0), kept.stripe_event_id COLLATE "C");
