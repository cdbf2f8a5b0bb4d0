-- take_turns --
-- Two runs at once would make each row twice: the table has no unique name.
SELECT pg_advisory_xact_lock(hashtextextended('sluice demo events', 0));

-- describe_key --
-- What kind of key the user's own table has, and whether the table makes it itself.
SELECT CASE
         WHEN format_type(a.atttypid, NULL) = 'uuid' THEN 'uuid'
         WHEN t.typcategory = 'N' THEN 'number'
         ELSE 'text'
       END AS type,
       (a.atthasdef OR a.attidentity <> '') AS has_default
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass('events') AND a.attname = 'id' AND NOT a.attisdropped;

-- find --
-- $1 name. Always the same one, should a person have made another of that name.
SELECT id::text AS id, stripe_account_id, webhook_secret
FROM events
WHERE name = $1
ORDER BY id
LIMIT 1;

-- create --
-- $1 name  $2 stripe_account_id  $3 webhook_secret
INSERT INTO events (name, stripe_account_id, webhook_secret)
VALUES ($1, $2, $3)
RETURNING id::text AS id, stripe_account_id, webhook_secret;

-- create_with_key --
-- $1 name  $2 stripe_account_id  $3 webhook_secret  $4 key as text
INSERT INTO events (id, name, stripe_account_id, webhook_secret)
VALUES (sluice_event_key($4), $1, $2, $3)
RETURNING id::text AS id, stripe_account_id, webhook_secret;

-- next_number --
SELECT coalesce(max(id::text::bigint), 0) + 1 FROM events;

-- repair --
-- $1 key as text  $2 stripe_account_id  $3 webhook_secret, kept where there is one already
UPDATE events
SET stripe_account_id = $2,
    webhook_secret = CASE WHEN $3::text IS NULL THEN NULL ELSE coalesce(webhook_secret, $3) END
WHERE id = sluice_event_key($1)
RETURNING id::text AS id, stripe_account_id, webhook_secret;
