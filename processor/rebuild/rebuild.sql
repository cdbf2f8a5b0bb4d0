-- count_webhooks --
-- $1 types  $2 the first moment of receipt. What had its effect, or waits for its row.
SELECT count(*)
FROM webhook_logs
WHERE (processed OR outcome = 'parked') AND webhook_type = ANY ($1::text[]) AND created_at >= $2::timestamptz
  AND (body IS NOT NULL OR body_id >= (SELECT kept_from FROM body_storage));

-- read_webhooks --
-- $1 types  $2 the first moment of receipt  $3 the last id that was read  $4 the most to read
WITH log AS MATERIALIZED (
    SELECT id, stripe_event_id, tenant, body, body_id
    FROM webhook_logs
    WHERE id > $3 AND (processed OR outcome = 'parked') AND webhook_type = ANY ($1::text[])
      AND created_at >= $2::timestamptz AND (body IS NOT NULL OR body_id >= (SELECT kept_from FROM body_storage))
    ORDER BY id
    LIMIT $4
)
SELECT log.id, log.stripe_event_id, log.tenant, coalesce(log.body, stored.body, '') AS body
FROM log
LEFT JOIN sluice_bodies(ARRAY(SELECT body_id FROM log WHERE body_id IS NOT NULL)) AS stored ON stored.id = log.body_id
ORDER BY log.id;

-- forget_facts --
-- $1 stripe_event_ids. What rows had said by themselves stays.
DELETE FROM payment_fact
WHERE stripe_event_id = ANY ($1::text[]) AND kind <> 'stored'
RETURNING scope, payment_id, stripe_event_id, extract(epoch FROM said_at)::bigint AS said_at, kind, object_id, status,
          amount, amount_captured, amount_released, currency, extract(epoch FROM object_created_at)::bigint AS object_created,
          parent_id, names_event, named_by, refers_to, destination, on_behalf_of;

-- read_facts --
-- $1 stripe_event_ids
SELECT scope, payment_id, stripe_event_id, extract(epoch FROM said_at)::bigint AS said_at, kind, object_id, status,
       amount, amount_captured, amount_released, currency, extract(epoch FROM object_created_at)::bigint AS object_created,
       parent_id, names_event, named_by, refers_to, destination, on_behalf_of
FROM payment_fact
WHERE stripe_event_id = ANY ($1::text[]) AND kind <> 'stored';
