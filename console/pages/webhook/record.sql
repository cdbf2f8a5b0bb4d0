-- found_by --
-- $1 stripe_event_id. The part that asked Stripe for it.
SELECT source FROM webhook_found WHERE stripe_event_id = $1;

-- repeats_of --
-- $1 stripe_event_id  $2 at most. Deliveries after the first.
SELECT received_at, verified_by, body_differs
FROM webhook_delivery
WHERE stripe_event_id = $1
ORDER BY received_at, id
LIMIT $2;

-- facts_of --
-- $1 stripe_event_id  $2 at most. Its rows in the ledger of payments.
SELECT payment_id, scope, kind, object_id, status, amount, currency, said_at
FROM payment_fact
WHERE stripe_event_id = $1
ORDER BY id
LIMIT $2;

-- views_of --
-- $1 stripe_event_id  $2 at most. People who viewed the body.
SELECT person, login, viewed_at FROM body_view WHERE stripe_event_id = $1 ORDER BY viewed_at DESC, id DESC LIMIT $2;
