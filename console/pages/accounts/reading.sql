-- reconciled --
-- $1 at most. Accounts that the reconciler lists; those with a problem first, then those furthest behind.
SELECT
    account, livemode, complete_until, passed_at, pass_missing AS missing, pass_oldest_missing AS oldest_missing, filled,
    refused, problem, problem_text, problem_since, is_listed
FROM reconcile_account
ORDER BY NOT is_listed, problem IS NULL, complete_until, account, livemode
LIMIT $1;

-- arrivals --
-- $1 webhooks to look through, the newest  $2 at most. By where they come from and what verified them.
SELECT
    stripe_account_id::text AS account, livemode, tenant::text AS organiser, verified_by::text AS verified_by,
    count(*) AS webhooks, count(*) FILTER (WHERE NOT processed) AS unprocessed,
    count(*) FILTER (WHERE NOT processed AND dead_at IS NOT NULL) AS dead, max(created_at)::timestamptz AS last_at
FROM (
    SELECT stripe_account_id, livemode, tenant, verified_by, processed, dead_at, created_at
    FROM webhook_logs
    ORDER BY created_at DESC
    LIMIT $1
) AS recent
GROUP BY stripe_account_id, livemode, tenant, verified_by
ORDER BY last_at DESC
LIMIT $2;

-- looked_back_to --
-- $1 webhooks to look through, the newest. When the one after them came; none: all of them were looked through.
SELECT created_at::timestamptz AS created_at FROM webhook_logs ORDER BY created_at DESC LIMIT 1 OFFSET $1;

-- repeats --
-- $1 repeats to look through, the newest  $2 at most. What verified those that came again.
SELECT verified_by, count(*) AS repeats, max(received_at) AS last_at
FROM (SELECT verified_by, received_at FROM webhook_delivery ORDER BY id DESC LIMIT $1) AS recent
WHERE verified_by IS NOT NULL
GROUP BY verified_by
ORDER BY last_at DESC
LIMIT $2;

-- names --
-- $1 texts that may be events.id. Rows of organisers.
SELECT wanted.key, e.name::text AS name, nullif(e.stripe_account_id::text, '') AS account
FROM unnest($1::text[]) AS wanted (key)
JOIN events AS e ON e.id = sluice_event_key(wanted.key);

-- refusals --
-- $1 errors to look through, the newest  $2 at most. Webhooks that were refused although they were signed, and secrets that
-- are none; by whom they concern.
SELECT organiser, code, count(*) AS count, max(created_at) AS last_at, (array_agg(message ORDER BY created_at DESC))[1] AS message
FROM (
    SELECT
        service::text AS service, kind::text AS kind, message::text AS message, created_at::timestamptz AS created_at,
        to_jsonb(request_data) ->> 'tenant' AS organiser, to_jsonb(request_data) ->> 'code' AS code
    FROM error_logs
    ORDER BY created_at DESC
    LIMIT $1
) AS recent
WHERE service = 'ingest' AND kind = 'webhook' AND code IS NOT NULL
GROUP BY organiser, code
ORDER BY last_at DESC
LIMIT $2;
