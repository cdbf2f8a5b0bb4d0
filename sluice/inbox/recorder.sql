-- record_new --
-- One statement, one commit, for all webhooks that waited, each id once. They come sorted by id; the arrays are:
-- $1 stripe_event_id, $2 webhook_type, $3 created (Unix seconds), $4 livemode, $5 stripe_account_id, $6 api_version,
-- $7 object_id, $8 tenant, $9 verified_by, $10 body; $11 whether the caller publishes them itself, else the relay's next
-- sweep does. Gives the ids of those that are in the log now and were not before; the others are as they were. See
-- migrations/functions/sluice_record_webhooks.sql.
SELECT stripe_event_id
FROM sluice_record_webhooks(
    $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bytea[], $11::boolean
);

-- record --
-- As record_new, also for what came before and for repeats among what waited. They come sorted by id, the first of each
-- id before its repeats, with $11 differs_from_first (NULL for the first of its id). Gives one row for each webhook, at
-- its place among those asked for:
--   is_new     it is in the log now and was not before;
--   is_other   a test event whose id is recorded for another event: nothing was written, it needs a key of its own;
--   life       its row was dead, and is 'revived', 'alive' or 'held' now (see sluice_revive_webhook);
--   body_differs  its body is not that of its row; what Stripe's API gave is written otherwise, and does not count;
--   is_unfilled  its row is one that an earlier application left unprocessed and without a body: that is for fill.
--
-- LATERAL … LIMIT keeps that an index look-up for each webhook, whatever the planner believes. These are few: what is new
-- went by record_new. A body that retention has dropped is known by its id alone, and differs from none.
WITH found AS MATERIALIZED (
    SELECT webhook.*, known.*
    FROM unnest(
        $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::bytea[], $11::boolean[]
    ) WITH ORDINALITY AS webhook (
        stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant,
        verified_by, body, differs_from_first, place
    )
    LEFT JOIN LATERAL (
        SELECT
            log.id AS known_id, log.body AS column_body, log.body_id, log.webhook_type AS known_type,
            log.livemode AS known_livemode, log.verified_by AS known_verified_by,
            NOT log.processed AND log.dead_at IS NULL AS is_open,
            NOT log.processed AND log.dead_at IS NOT NULL AND (log.outcome IS DISTINCT FROM 'unsupported') AS is_known_dead
        FROM webhook_logs AS log
        WHERE log.stripe_event_id = webhook.stripe_event_id
        LIMIT 1
    ) AS known ON true
), incoming AS (
    SELECT
        webhook.*, known_id IS NOT NULL AS is_known, coalesce(is_known_dead, false) AS is_dead,
        (known_verified_by IS NOT DISTINCT FROM 'api') AS is_listed,
        column_body IS NULL AND body_id IS NULL AND is_open AND differs_from_first IS NULL AS is_unfilled,
        coalesce(
            NOT livemode AND NOT known_livemode AND coalesce(body_id, octet_length(known_body)) IS NOT NULL
                AND position('~' IN stripe_event_id) = 0
                AND (
                    known_type <> webhook_type OR (stripe_event_id ~ '^evt_0{8,}(@|$)' AND known_body <> webhook.body)
                ),
            false
        ) AS is_other
    FROM (
        SELECT found.*, coalesce(found.column_body, stored.body) AS known_body
        FROM found
        LEFT JOIN sluice_bodies(ARRAY(SELECT body_id FROM found WHERE body_id IS NOT NULL)) AS stored
            ON stored.id = found.body_id
    ) AS webhook
), recorded AS (
    INSERT INTO webhook_logs (
        stripe_event_id, webhook_type, stripe_created_at, livemode, stripe_account_id, api_version, object_id, tenant,
        verified_by, body, next_attempt_at, published_at, publications
    )
    SELECT
        stripe_event_id, webhook_type, to_timestamp(created), livemode, stripe_account_id, api_version, object_id,
        tenant, verified_by, body, now() + interval '5 seconds', now(), 1
    FROM incoming
    WHERE differs_from_first IS NULL AND NOT is_known
    ORDER BY place
    ON CONFLICT (stripe_event_id) DO NOTHING
    RETURNING stripe_event_id
), told AS (
    SELECT
        incoming.*, recorded.stripe_event_id IS NOT NULL AND differs_from_first IS NULL AS is_new,
        NOT is_other AND coalesce(
            CASE WHEN is_known THEN known_body <> body AND NOT is_listed ELSE differs_from_first END, false
        ) AS differs
    FROM incoming
    LEFT JOIN recorded ON recorded.stripe_event_id = incoming.stripe_event_id
), repeated AS (
    INSERT INTO webhook_delivery (stripe_event_id, verified_by, body_differs)
    SELECT stripe_event_id, verified_by, CASE WHEN known_body IS NOT NULL OR NOT is_known THEN differs END
    FROM told
    WHERE NOT is_new AND NOT is_other
    ORDER BY place
)
SELECT
    place, stripe_event_id, is_new, is_other, differs AS body_differs, coalesce(is_unfilled, false) AS is_unfilled,
    CASE WHEN is_dead AND NOT is_other AND known_body = body THEN sluice_revive_webhook(stripe_event_id, body) END AS life
FROM told
ORDER BY place;

-- fill --
-- The arrays of record but the last, each id once. An earlier application's row that it left unprocessed, without a body
-- and never relayed: the redelivery fills it and makes it due; the sweep does the rest. A locked row is left out,
-- for a batch waits for no lock. Seldom used, so it costs nothing to be a statement of its own; and ingest itself may
-- change no body.
SELECT filled.stripe_event_id
FROM sluice_fill_webhooks(
    $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bytea[]
) AS filled (stripe_event_id);
