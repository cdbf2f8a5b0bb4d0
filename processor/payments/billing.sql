-- keep_invoices --
-- $1 scope  $2 invoice_id  $3 status  $4 subscription_id  $5 customer_id  $6 amount_due  $7 amount_paid  $8 currency
-- $9 said_at in seconds  $10 stripe_event_id  $11 the status of each word of that second, by event
-- $12 whether these are all that is known
-- A newer second replaces the row. In the same second its words are added to those that are known; the rows that do
-- not show just what came are given: a caller that knows all words says which one stands, with $12.
WITH n AS (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[],
                $9::bigint[], $10::text[], $11::jsonb[])
         AS n(scope, invoice_id, status, subscription_id, customer_id, amount_due, amount_paid, currency, said_at,
              stripe_event_id, newest_second)
),
written AS (
    INSERT INTO invoice AS kept (
        scope, invoice_id, status, subscription_id, customer_id, amount_due, amount_paid, currency, said_at,
        stripe_event_id, newest_second
    )
    SELECT n.scope, n.invoice_id, n.status, n.subscription_id, n.customer_id, n.amount_due, n.amount_paid, n.currency,
           to_timestamp(n.said_at), n.stripe_event_id, n.newest_second
    FROM n
    ORDER BY n.scope, n.invoice_id
    ON CONFLICT (scope, invoice_id) DO UPDATE
    SET (status, subscription_id, customer_id, amount_due, amount_paid, currency, said_at, stripe_event_id,
         newest_second, updated_at) = (
        WITH takes AS (
            SELECT $12 OR excluded.said_at > kept.said_at
                   OR (excluded.newest_second ? kept.stripe_event_id AND excluded.newest_second @> kept.newest_second)
                   AS place
        )
        SELECT excluded.status, excluded.subscription_id, excluded.customer_id, excluded.amount_due,
               excluded.amount_paid, excluded.currency, excluded.said_at, excluded.stripe_event_id,
               excluded.newest_second, now()
        FROM takes WHERE takes.place
        UNION ALL
        SELECT kept.status, kept.subscription_id, kept.customer_id, kept.amount_due, kept.amount_paid, kept.currency,
               kept.said_at, kept.stripe_event_id, kept.newest_second || excluded.newest_second, kept.updated_at
        FROM takes WHERE NOT takes.place
    )
    WHERE $12 OR excluded.said_at > kept.said_at
       OR (excluded.said_at = kept.said_at AND NOT kept.newest_second @> excluded.newest_second)
    RETURNING kept.scope, kept.invoice_id, kept.status, kept.said_at, kept.stripe_event_id, kept.newest_second
)
SELECT w.scope, w.invoice_id AS object_id, w.status, extract(epoch FROM w.said_at)::bigint AS said_at,
       w.stripe_event_id, w.newest_second
FROM written AS w
JOIN n ON n.scope = w.scope AND n.invoice_id = w.invoice_id
WHERE (w.newest_second, w.stripe_event_id) <> (n.newest_second, n.stripe_event_id);

-- keep_subscriptions --
-- $1 scope  $2 subscription_id  $3 status  $4 customer_id  $5 current_period_end in seconds  $6 cancel_at_period_end
-- $7 cancel_at  $8 canceled_at  $9 ended_at  $10 trial_end, all in seconds  $11 said_at in seconds  $12 stripe_event_id
-- $13 the status of each word of that second, by event  $14 whether these are all that is known
-- As keep_invoices. The events row is what the ledger knows by now; the ledger itself corrects it when it learns more.
WITH n AS (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::boolean[], $7::bigint[],
                $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::jsonb[])
         AS n(scope, subscription_id, status, customer_id, current_period_end, cancel_at_period_end, cancel_at,
              canceled_at, ended_at, trial_end, said_at, stripe_event_id, newest_second)
),
written AS (
    INSERT INTO subscription AS kept (
        scope, subscription_id, status, customer_id, events_id, current_period_end, cancel_at_period_end, cancel_at,
        canceled_at, ended_at, trial_end, said_at, stripe_event_id, newest_second
    )
    SELECT n.scope, n.subscription_id, n.status, n.customer_id, p.events_id, to_timestamp(n.current_period_end),
           n.cancel_at_period_end, to_timestamp(n.cancel_at), to_timestamp(n.canceled_at), to_timestamp(n.ended_at),
           to_timestamp(n.trial_end), to_timestamp(n.said_at), n.stripe_event_id, n.newest_second
    FROM n
    LEFT JOIN payment AS p ON p.scope = n.scope AND p.payment_id = n.subscription_id
    ORDER BY n.scope, n.subscription_id
    ON CONFLICT (scope, subscription_id) DO UPDATE
    SET (status, customer_id, events_id, current_period_end, cancel_at_period_end, cancel_at, canceled_at, ended_at,
         trial_end, said_at, stripe_event_id, newest_second, updated_at) = (
        WITH takes AS (
            SELECT $14 OR excluded.said_at > kept.said_at
                   OR (excluded.newest_second ? kept.stripe_event_id AND excluded.newest_second @> kept.newest_second)
                   AS place
        )
        SELECT excluded.status, excluded.customer_id, excluded.events_id, excluded.current_period_end,
               excluded.cancel_at_period_end, excluded.cancel_at, excluded.canceled_at, excluded.ended_at,
               excluded.trial_end, excluded.said_at, excluded.stripe_event_id, excluded.newest_second, now()
        FROM takes WHERE takes.place
        UNION ALL
        SELECT kept.status, kept.customer_id, kept.events_id, kept.current_period_end, kept.cancel_at_period_end,
               kept.cancel_at, kept.canceled_at, kept.ended_at, kept.trial_end, kept.said_at, kept.stripe_event_id,
               kept.newest_second || excluded.newest_second, kept.updated_at
        FROM takes WHERE NOT takes.place
    )
    WHERE $14 OR excluded.said_at > kept.said_at
       OR (excluded.said_at = kept.said_at AND NOT kept.newest_second @> excluded.newest_second)
    RETURNING kept.scope, kept.subscription_id, kept.status, kept.said_at, kept.stripe_event_id, kept.newest_second
)
SELECT w.scope, w.subscription_id AS object_id, w.status, extract(epoch FROM w.said_at)::bigint AS said_at,
       w.stripe_event_id, w.newest_second
FROM written AS w
JOIN n ON n.scope = w.scope AND n.subscription_id = w.subscription_id
WHERE (w.newest_second, w.stripe_event_id) <> (n.newest_second, n.stripe_event_id);

-- read_words --
-- $1 stripe_event_ids. What was said, as far as it is still logged.
WITH log AS MATERIALIZED (
    SELECT found.*
    FROM unnest($1::text[]) AS n(stripe_event_id)
    CROSS JOIN LATERAL (
        SELECT w.stripe_event_id::text AS stripe_event_id, w.tenant, w.body, w.body_id
        FROM webhook_logs AS w
        WHERE w.stripe_event_id = n.stripe_event_id
        OFFSET 0
    ) AS found
)
SELECT log.stripe_event_id, log.tenant, coalesce(log.body, stored.body) AS body
FROM log
LEFT JOIN sluice_bodies(ARRAY(SELECT body_id FROM log WHERE body_id IS NOT NULL)) AS stored ON stored.id = log.body_id
WHERE coalesce(log.body, stored.body) IS NOT NULL;
