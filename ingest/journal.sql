-- record_new --
-- One statement, one commit, for all webhooks that waited, each id once. They come sorted by id; the arrays are:
-- $1 stripe_event_id, $2 webhook_type, $3 created (Unix seconds), $4 livemode, $5 stripe_account_id, $6 api_version,
-- $7 object_id, $8 tenant, $9 verified_by, $10 body. Gives the ids of those that are in the log now and were not before;
-- the others are for record.
--
-- What is in the log already is left out before the INSERT, because ON CONFLICT would wait for a processor that is
-- updating such a row. A subquery of its own for each keeps that an index look-up, whatever the planner believes.
INSERT INTO webhook_logs (
    stripe_event_id, webhook_type, stripe_created_at, livemode, stripe_account_id, api_version, object_id, tenant,
    verified_by, body, next_attempt_at, published_at, publications
)
SELECT
    stripe_event_id, webhook_type, to_timestamp(created), livemode, stripe_account_id, api_version, object_id,
    tenant, verified_by, body, now() + interval '5 seconds', now(), 1
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bytea[]
) AS webhook (
    stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant, verified_by,
    body
)
WHERE (SELECT log.id FROM webhook_logs AS log WHERE log.stripe_event_id = webhook.stripe_event_id) IS NULL
ON CONFLICT (stripe_event_id) DO NOTHING
RETURNING stripe_event_id;

-- record --
-- As record_new, also for what came before and for repeats among what waited. They come sorted by id, the first of each
-- id before its repeats, with $11 differs_from_first (NULL for the first of its id). Gives one row for each webhook; and one more, is_unfilled, for
-- each whose row an earlier application left unprocessed and without a body: that is for fill.
--
-- LATERAL … LIMIT keeps that an index look-up for each webhook, whatever the planner believes.
WITH incoming AS (
    SELECT webhook.*, known.id IS NOT NULL AS is_known, known.body AS known_body, known.is_unfilled
    FROM unnest(
        $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::bytea[], $11::boolean[]
    ) WITH ORDINALITY AS webhook (
        stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant,
        verified_by, body, differs_from_first, place
    )
    LEFT JOIN LATERAL (
        SELECT log.id, log.body, log.body IS NULL AND NOT log.processed AND log.dead_at IS NULL AS is_unfilled
        FROM webhook_logs AS log
        WHERE log.stripe_event_id = webhook.stripe_event_id
        LIMIT 1
    ) AS known ON true
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
), repeated AS (
    INSERT INTO webhook_delivery (stripe_event_id, verified_by, body_differs)
    SELECT
        incoming.stripe_event_id, incoming.verified_by,
        CASE WHEN incoming.is_known THEN incoming.known_body <> incoming.body ELSE incoming.differs_from_first END
    FROM incoming
    LEFT JOIN recorded ON recorded.stripe_event_id = incoming.stripe_event_id
    WHERE incoming.differs_from_first IS NOT NULL OR recorded.stripe_event_id IS NULL
    RETURNING stripe_event_id, body_differs
)
SELECT stripe_event_id, true AS is_new, false AS body_differs, false AS is_unfilled FROM recorded
UNION ALL
SELECT stripe_event_id, false, coalesce(body_differs, false), false FROM repeated
UNION ALL
SELECT stripe_event_id, false, false, true FROM incoming WHERE is_unfilled AND differs_from_first IS NULL;

-- fill --
-- The arrays of record but the last, each id once. An earlier application's row that it left unprocessed, without a body
-- and never relayed: the redelivery fills it and makes it due; the sweep does the rest. What somebody holds is left out,
-- for a batch waits for nobody. Seldom used, so it costs nothing to be a statement of its own; and ingest itself may
-- change no body.
SELECT stripe_event_id
FROM sluice_fill_webhooks(
    $1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bytea[]
) AS filled (stripe_event_id);
