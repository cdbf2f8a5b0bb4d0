-- find_events_row --
-- $1 anything that a person asks about. The row whose key it is.
SELECT id::text AS id
FROM events
WHERE id = sluice_event_key($1);

-- find_payments --
-- $1 a payment's id, or that of an invoice or a subscription on the way to payments  $2 the most to show.
SELECT scope, payment_id FROM payment WHERE payment_id = $1 ORDER BY scope LIMIT $2;

-- find_payments_by_event --
-- $1 keys of webhook_logs  $2 the most to show
SELECT DISTINCT scope, payment_id FROM payment_fact WHERE stripe_event_id = ANY ($1::text[])
ORDER BY scope, payment_id LIMIT $2;

-- allow_sorts --
-- $1 off: read each index in its order, from the mark on, in this transaction; on: as ever.
SELECT set_config('enable_sort', $1, true);

-- avoid_scans --
-- $1 off: read no table from end to end in this transaction where there is another way; on: as ever.
SELECT set_config('enable_seqscan', $1, true);

-- find_payments_by_object --
-- $1 a refund, dispute, charge or session that a fact is about  $2 the most to show. payment_fact_object tells in which
-- parts of the ledger it may be; run it after avoid_scans, for the planner thinks little of such an index.
SELECT DISTINCT scope, payment_id FROM payment_fact WHERE object_id = $1
ORDER BY scope, payment_id LIMIT $2;

-- find_children --
-- $1 scopes  $2 ids of invoices or subscriptions  $3 the most to show. The payments below, at any depth.
WITH RECURSIVE below AS (
    SELECT scope, payment_id, 0 AS depth
    FROM unnest($1::text[], $2::text[]) AS wanted (scope, payment_id)
    UNION
    SELECT child.scope, child.payment_id, below.depth + 1
    FROM below
    JOIN payment AS child ON (child.scope, child.parent_id) = (below.scope, below.payment_id)
    WHERE below.depth < 5
)
SELECT DISTINCT scope, payment_id FROM below WHERE depth > 0 ORDER BY scope, payment_id LIMIT $3;

-- find_payments_of_row --
-- $1 events.id as text  $2 the most to show. First what decides, then the rest, then what waits for the row; the invoices and
-- subscriptions above them last. A row with very many payments costs no more than one with a few.
WITH RECURSIVE row AS (
    SELECT id::text AS id, nullif(stripe_account_id, '') AS account FROM events WHERE id = sluice_event_key($1)
), found AS (
    SELECT best.scope, best.payment_id, best.rank, best.parent_id
    FROM row
    CROSS JOIN unnest(sluice_shown_scopes(row.id, row.account)) AS s(scope)
    CROSS JOIN LATERAL (
        SELECT p.scope, p.payment_id, p.rank, p.parent_id
        FROM payment AS p
        WHERE p.events_id = row.id AND p.scope = s.scope AND p.rank IS NOT NULL
        ORDER BY p.rank, p.payment_id
        LIMIT $2
    ) AS best
    UNION ALL
    (SELECT p.scope, p.payment_id, NULL, p.parent_id FROM payment AS p WHERE p.events_id = $1 AND p.awaits_event LIMIT $2)
), above AS (
    SELECT scope, payment_id, rank, parent_id, 0 AS height FROM found
    UNION
    SELECT p.scope, p.payment_id, NULL, p.parent_id, above.height + 1
    FROM above
    JOIN payment AS p ON p.scope = above.scope AND p.payment_id = above.parent_id
    WHERE above.height < 2
)
SELECT scope, payment_id
FROM above
GROUP BY scope, payment_id
ORDER BY min(rank) NULLS LAST, min(height), scope, payment_id
LIMIT $2;

-- count_payments_of_row --
-- $1 events.id as text  $2 the most to count.
SELECT count(*) AS payments
FROM (SELECT FROM payment WHERE events_id = $1 AND rank IS NOT NULL LIMIT $2) AS bound;

-- tell_payments --
-- $1 scopes  $2 payment ids
SELECT p.scope, p.payment_id, p.parent_id, p.events_id, p.bound_by, p.status, p.awaits_event, p.awaits
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (scope, payment_id, place)
JOIN payment AS p USING (scope, payment_id)
ORDER BY wanted.place;

-- tell_facts --
-- $1 scopes  $2 payment ids. In the order in which Stripe says that things happened.
SELECT f.scope, f.payment_id, f.stripe_event_id, f.said_at, f.kind, f.object_id, f.status, f.amount, f.amount_captured,
       f.amount_released, f.currency, f.object_created_at, f.parent_id, f.names_event, f.named_by, f.refers_to
FROM unnest($1::text[], $2::text[]) AS wanted (scope, payment_id)
JOIN payment_fact AS f USING (scope, payment_id)
ORDER BY f.said_at, f.id;

-- tell_events_rows --
-- $1 events.id as text
SELECT id::text AS id, name, payment_status, last_webhook_received, stripe_payment_intent_id, stripe_account_id,
       webhook_secret IS NOT NULL AS has_own_secret
FROM events
WHERE id = ANY (SELECT sluice_event_key(wanted) FROM unnest($1::text[]) AS wanted);

-- tell_events_rows_without_secret --
-- The same for a role that may not read webhook_secret.
SELECT id::text AS id, name, payment_status, last_webhook_received, stripe_payment_intent_id, stripe_account_id,
       NULL::boolean AS has_own_secret
FROM events
WHERE id = ANY (SELECT sluice_event_key(wanted) FROM unnest($1::text[]) AS wanted);

-- find_webhooks_of_event --
-- $1 evt_…  $2 the most to show. Through the platform's URL, through any organiser's (evt_…@key), and test events that share
-- the id (evt_…~type, see ingest/journal/repeats.py). In every collation the keys that begin alike stand together; beyond
-- those of Latin letters nothing follows both a z and a tilde.
SELECT stripe_event_id
FROM webhook_logs
WHERE stripe_event_id >= $1 AND stripe_event_id <= greatest($1 || repeat('z', 60), $1 || repeat('~', 60))
  AND (stripe_event_id = $1 OR starts_with(stripe_event_id, $1 || '@') OR starts_with(stripe_event_id, $1 || '~'))
ORDER BY created_at, id
LIMIT $2;

-- find_unprocessed_webhooks --
-- $1 an object's id  $2 the most to show  $3 how many of each kind to look through: to be tried again, not tried yet, dead.
-- What is about the object and has no effect yet.
WITH open AS (
    (SELECT id, stripe_event_id, object_id, tenant, created_at
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NULL
       AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark), '-infinity')
     ORDER BY next_attempt_at
     LIMIT $3)
    UNION ALL
    (SELECT id, stripe_event_id, object_id, tenant, created_at
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
       AND published_at >= coalesce((SELECT untried_from FROM queue_watermark), '-infinity')
     ORDER BY published_at
     LIMIT $3)
    UNION ALL
    (SELECT id, stripe_event_id, object_id, tenant, created_at
     FROM webhook_logs
     WHERE dead_at IS NOT NULL AND NOT processed
     ORDER BY dead_at DESC
     LIMIT $3)
)
SELECT stripe_event_id FROM open WHERE object_id = $1 ORDER BY created_at, id LIMIT $2;

-- find_recent_webhooks --
-- $1 an object's id  $2 the most to show  $3 how many of the newest webhooks to look through; NULL: all.
SELECT stripe_event_id
FROM (SELECT id, stripe_event_id, object_id, created_at FROM webhook_logs ORDER BY id DESC LIMIT $3) AS recent
WHERE object_id = $1
ORDER BY created_at, id
LIMIT $2;

-- find_unprocessed_webhooks_of_row --
-- $1 events.id as text  $2 the most to show  $3 as above. What came through the row's own URL and has no fact in the ledger
-- yet.
WITH open AS (
    (SELECT id, stripe_event_id, object_id, tenant, created_at
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NULL
       AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark), '-infinity')
     ORDER BY next_attempt_at
     LIMIT $3)
    UNION ALL
    (SELECT id, stripe_event_id, object_id, tenant, created_at
     FROM webhook_logs
     WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
       AND published_at >= coalesce((SELECT untried_from FROM queue_watermark), '-infinity')
     ORDER BY published_at
     LIMIT $3)
    UNION ALL
    (SELECT id, stripe_event_id, object_id, tenant, created_at
     FROM webhook_logs
     WHERE dead_at IS NOT NULL AND NOT processed
     ORDER BY dead_at DESC
     LIMIT $3)
)
SELECT stripe_event_id FROM open WHERE tenant = $1 ORDER BY created_at, id LIMIT $2;

-- tell_webhooks --
-- $1 keys of webhook_logs, in the order of arrival.
SELECT stripe_event_id, webhook_type, stripe_account_id, livemode, api_version, object_id, stripe_created_at, tenant,
       verified_by, processed, processing_attempts, last_error, outcome,
       nullif(next_attempt_at, 'infinity') AS next_attempt_at, publications, parked_at,
       processed_at, dead_at, revivals, revived_at, created_at
FROM webhook_logs
WHERE stripe_event_id = ANY ($1::text[])
ORDER BY created_at, id;

-- tell_fetches --
-- $1 keys of webhook_logs. Thin events that wait for the reconciler.
SELECT stripe_event_id, tries AS fetch_tries, problem AS fetch_problem
FROM thin_fetch
WHERE stripe_event_id = ANY ($1::text[]);

-- tell_repeats --
-- $1 keys of webhook_logs
SELECT stripe_event_id, received_at, verified_by, body_differs
FROM webhook_delivery
WHERE stripe_event_id = ANY ($1::text[])
ORDER BY received_at, id;

-- tell_errors --
-- $1 keys of webhook_logs  $2 the most to show
-- Services of a release before wrote Stripe's id into event_id.
SELECT coalesce(stripe_event_id, event_id) AS stripe_event_id, created_at, severity, service, message, resolved
FROM error_logs
WHERE coalesce(stripe_event_id, event_id) = ANY ($1::text[])
ORDER BY created_at, id
LIMIT $2;
