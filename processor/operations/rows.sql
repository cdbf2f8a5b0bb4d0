-- find_payments --
-- $1 stripe_event_ids. Payments that these webhooks are about, and all that stand above or below them: what one of them
-- says may move the others.
WITH RECURSIVE near AS (
    SELECT f.scope, f.payment_id
    FROM payment_fact AS f
    WHERE f.stripe_event_id = ANY ($1::text[])
    UNION
    SELECT n.scope, other.payment_id
    FROM near AS n
    CROSS JOIN LATERAL (
        SELECT p.parent_id AS payment_id
        FROM payment AS p
        WHERE p.scope = n.scope AND p.payment_id = n.payment_id AND p.parent_id IS NOT NULL
        UNION ALL
        SELECT f.parent_id AS payment_id
        FROM payment_fact AS f
        WHERE f.scope = n.scope AND f.payment_id = n.payment_id AND f.parent_id IS NOT NULL
        UNION ALL
        SELECT p.payment_id
        FROM payment AS p
        WHERE p.scope = n.scope AND p.parent_id = n.payment_id
    ) AS other
)
SELECT scope, payment_id FROM near;

-- find_rows_of_events --
-- $1 scopes  $2 payment ids. Rows of events that these payments show on, or name.
SELECT p.events_id
FROM unnest($1::text[], $2::text[]) AS n (scope, payment_id)
JOIN payment AS p ON p.scope = n.scope AND p.payment_id = n.payment_id
WHERE p.events_id IS NOT NULL
UNION
SELECT f.names_event
FROM unnest($1::text[], $2::text[]) AS n (scope, payment_id)
JOIN payment_fact AS f ON f.scope = n.scope AND f.payment_id = n.payment_id
WHERE f.named_by IS NOT NULL
UNION
SELECT f.refers_to
FROM unnest($1::text[], $2::text[]) AS n (scope, payment_id)
JOIN payment_fact AS f ON f.scope = n.scope AND f.payment_id = n.payment_id
WHERE f.refers_to IS NOT NULL;

-- payment --
-- $1 scopes  $2 ids. Each row but for the times of writing; so below.
SELECT ARRAY[p.scope, p.payment_id] AS key, (to_jsonb(p) - ARRAY['updated_at', 'opened_at'])::text AS told
FROM unnest($1::text[], $2::text[]) AS n (scope, id)
JOIN payment AS p ON p.scope = n.scope AND p.payment_id = n.id;

-- invoice --
-- $1 scopes  $2 ids.
SELECT ARRAY[i.scope, i.invoice_id] AS key, (to_jsonb(i) - ARRAY['updated_at'])::text AS told
FROM unnest($1::text[], $2::text[]) AS n (scope, id)
JOIN invoice AS i ON i.scope = n.scope AND i.invoice_id = n.id;

-- subscription --
-- $1 scopes  $2 ids.
SELECT ARRAY[s.scope, s.subscription_id] AS key, (to_jsonb(s) - ARRAY['updated_at'])::text AS told
FROM unnest($1::text[], $2::text[]) AS n (scope, id)
JOIN subscription AS s ON s.scope = n.scope AND s.subscription_id = n.id;

-- payment_fact --
-- $1 stripe_event_ids  $2 rows of events. What webhooks say, and what these rows had said before.
SELECT ARRAY[f.scope, f.payment_id, f.stripe_event_id] AS key, (to_jsonb(f) - ARRAY['id'])::text AS told
FROM payment_fact AS f
WHERE f.stripe_event_id = ANY ($1::text[] || ARRAY(SELECT 'stored:' || n.id FROM unnest($2::text[]) AS n (id)))
UNION ALL
SELECT ARRAY[f.scope, f.payment_id, f.stripe_event_id] AS key, (to_jsonb(f) - ARRAY['id'])::text AS told
FROM unnest($2::text[]) AS n (id)
JOIN payment_fact AS f ON f.scope = 'events' AND f.payment_id = n.id AND f.stripe_event_id = 'stored';

-- thin_fetch --
-- $1 stripe_event_ids.
SELECT ARRAY[t.stripe_event_id] AS key, jsonb_build_object('tries', t.tries, 'problem', t.problem)::text AS told
FROM thin_fetch AS t
WHERE t.stripe_event_id = ANY ($1::text[]);

-- columns_of_events --
-- Columns of events that we may read, but the secret; and about how many rows there are.
SELECT a.attname::text AS name, 
       CASE WHEN c.reltuples < 0 THEN pg_relation_size(c.oid) / 100.0 ELSE c.reltuples END::float8 AS about
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = 'events'::regclass AND a.attname <> 'webhook_secret' AND has_column_privilege(c.oid, a.attnum, 'SELECT')
ORDER BY a.attnum;

-- count_written --
-- Rows that this session has inserted, updated and deleted and not told the statistics of yet: those of this transaction,
-- and maybe some of earlier ones. So a difference of two looks counts.
SELECT s.relid::regclass::text AS table_name, s.n_tup_ins AS inserted, s.n_tup_upd AS updated, s.n_tup_del AS deleted
FROM pg_stat_xact_user_tables AS s
WHERE s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0;
