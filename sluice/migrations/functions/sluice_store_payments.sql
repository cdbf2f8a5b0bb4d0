-- Stores payments that are locked, and shows on events rows that are locked what the ledger knows.
--   own_words: rows whose own words are kept first: the status, to be restored should the last payment turn out to be
--     another row's, and the intent that the row stored, as a claim on that payment. A row that shows what Sluice
--     projected is left out: there the stored payment is known as bound to it.
--   was_left: whether a payment has just left that row. A row shows the first entry of payment_of_event over its
--     scopes; that costs the same for any number of payments. What no row may show has no rank. A row that never had a payment keeps what it says; one
--     that lost its last gets that back.
--   receipt_rows, receipt_events: rows and the webhooks that concerned them.
CREATE OR REPLACE FUNCTION sluice_store_payments(
    own_words text[],
    node_scopes text[], node_ids text[], parent_ids text[], bound_to text[], bound_bys text[], statuses text[],
    ranks smallint[], awaiting boolean[], preferred text[], are_open boolean[],
    subscription_scopes text[], subscription_ids text[],
    row_ids text[], was_left boolean[], receipt_rows text[], receipt_events text[]
) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
BEGIN
    IF cardinality(own_words) > 0 THEN
        WITH own_word AS (
            SELECT e.id::text AS events_id, e.payment_status AS status, e.stripe_payment_intent_id AS intent,
                   e.stripe_account_id AS account
            FROM unnest(own_words) AS n(events_id)
            CROSS JOIN LATERAL (
                SELECT v.id, v.payment_status, v.stripe_payment_intent_id, v.stripe_account_id
                FROM events AS v
                WHERE v.id = sluice_event_key(n.events_id)
                OFFSET 0
            ) AS e
            WHERE (e.payment_status IS DISTINCT FROM 'pending' OR e.stripe_payment_intent_id IS NOT NULL)
              AND NOT EXISTS (
                  SELECT
                  FROM payment AS p
                  WHERE p.payment_id = e.stripe_payment_intent_id
                    AND p.events_id = e.id::text
                    AND p.scope = ANY (sluice_shown_scopes(e.id::text, e.stripe_account_id))
                    AND NOT p.awaits_event
              )
        )
        INSERT INTO payment_fact (
            scope, payment_id, stripe_event_id, said_at, kind, status, object_id, names_event, named_by
        )
        SELECT 'events', r.events_id, 'stored', timestamptz 'epoch', 'stored', r.status, r.intent, NULL, NULL
        FROM own_word AS r
        UNION ALL
        -- of the row's account, and of the platform, whose own charge an application may store
        SELECT s.scope, r.intent, 'stored:' || r.events_id, timestamptz 'epoch', 'stored', NULL, NULL, r.events_id, 'stored'
        FROM own_word AS r
        CROSS JOIN unnest(sluice_shown_scopes(NULL, r.account)) AS s(scope)
        WHERE s.scope IS NOT NULL AND length(r.intent) BETWEEN 1 AND 255
        ORDER BY 1, 2, 3
        ON CONFLICT (scope, payment_id, stripe_event_id) DO NOTHING;
    END IF;

    IF cardinality(node_ids) > 0 THEN
        UPDATE payment AS p
        SET parent_id = n.parent_id,
            events_id = n.events_id,
            bound_by = n.bound_by,
            status = n.status,
            rank = n.rank,
            awaits_event = n.awaits_event,
            awaits = n.awaits,
            opened_at = CASE WHEN n.is_open THEN coalesce(p.opened_at, now()) END,
            updated_at = now()
        FROM unnest(node_scopes, node_ids, parent_ids, bound_to, bound_bys, statuses, ranks, awaiting, preferred, are_open)
             AS n(scope, payment_id, parent_id, events_id, bound_by, status, rank, awaits_event, awaits, is_open)
        WHERE p.scope = ANY (ARRAY[n.scope]) AND p.payment_id = ANY (ARRAY[n.payment_id]);
    END IF;

    IF cardinality(subscription_ids) > 0 THEN
        UPDATE subscription AS s
        SET events_id = bound.events_id
        FROM unnest(subscription_scopes, subscription_ids) AS n(scope, payment_id)
        CROSS JOIN LATERAL (
            SELECT p.events_id FROM payment AS p WHERE p.scope = n.scope AND p.payment_id = n.payment_id OFFSET 0
        ) AS bound
        WHERE s.scope = ANY (ARRAY[n.scope]) AND s.subscription_id = ANY (ARRAY[n.payment_id])
          AND s.events_id IS DISTINCT FROM bound.events_id;
    END IF;

    IF cardinality(row_ids) > 0 THEN
        WITH receipt AS (
            SELECT c.events_id,
                   'epoch'::timestamp + max(extract(epoch FROM w.created_at)) * interval '1 second' AS received_at
            FROM unnest(receipt_rows, receipt_events) AS c(events_id, stripe_event_id)
            CROSS JOIN LATERAL (
                SELECT l.created_at FROM webhook_logs AS l WHERE l.stripe_event_id = c.stripe_event_id OFFSET 0
            ) AS w
            GROUP BY c.events_id
        ),
        shown AS (
            SELECT e.id, n.was_left, first.status, first.payment_id, receipt.received_at,
                   before.is_there AS is_remembered, before.status AS status_before,
                   before.object_id AS intent_before
            FROM unnest(row_ids, was_left) AS n(events_id, was_left)
            CROSS JOIN LATERAL (
                SELECT v.id, v.stripe_account_id
                FROM events AS v
                WHERE v.id = sluice_event_key(n.events_id)
                OFFSET 0
            ) AS e
            LEFT JOIN receipt ON receipt.events_id = n.events_id
            LEFT JOIN LATERAL (
                SELECT true AS is_there, f.status, f.object_id
                FROM payment_fact AS f
                WHERE n.was_left AND f.scope = 'events' AND f.payment_id = n.events_id
                  AND f.stripe_event_id || '' = 'stored'
                OFFSET 0
            ) AS before ON true
            LEFT JOIN LATERAL (
                SELECT best.status, best.payment_id
                FROM unnest(sluice_shown_scopes(n.events_id, e.stripe_account_id)) AS s(scope)
                CROSS JOIN LATERAL (
                    SELECT p.status, p.rank, p.payment_id
                    FROM payment AS p
                    WHERE (p.events_id, p.scope) >= (n.events_id, s.scope) AND (p.events_id, p.scope) <= (n.events_id, s.scope)
                      AND p.events_id IS NOT NULL AND p.rank IS NOT NULL
                    ORDER BY p.events_id, p.scope, p.rank, p.payment_id
                    LIMIT 1
                ) AS best
                ORDER BY best.rank, best.payment_id
                LIMIT 1
            ) AS first ON true
        )
        UPDATE events AS e
        SET payment_status = CASE
                WHEN s.status IS NOT NULL THEN s.status
                WHEN s.was_left AND s.is_remembered THEN s.status_before
                WHEN s.was_left THEN 'pending'
                ELSE e.payment_status
            END,
            stripe_payment_intent_id = CASE
                WHEN s.status IS NOT NULL THEN s.payment_id
                WHEN s.was_left THEN s.intent_before
                ELSE e.stripe_payment_intent_id
            END,
            last_webhook_received = greatest(e.last_webhook_received, s.received_at)
        FROM shown AS s
        WHERE e.id = ANY (ARRAY[s.id]);
    END IF;
END
$function$;
