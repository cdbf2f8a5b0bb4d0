-- Locks these payments and what is known to stand above them, creating those that nobody knows; appends facts; gives
-- each locked payment with each of its facts, one row at least; then gives the events rows that these may be bound to
-- (row_id is set in these alone), and locks those that may be touched from there. Of payments that no row shows, also
-- the claim of an events row that stores such an id of its own accord: see docs/architecture.md.
--   reads_rows: look for such claims of all payments, since the rows are what has changed.
CREATE OR REPLACE FUNCTION sluice_add_facts(
    node_scopes text[], node_ids text[], reads_rows boolean,
    fact_scopes text[], fact_ids text[], fact_events text[], said_ats bigint[], kinds text[], object_ids text[],
    statuses text[], amounts bigint[], amounts_captured bigint[], currencies text[], objects_created bigint[],
    parent_ids text[], tenants text[], metadatas text[], referrers text[], amounts_released bigint[], destinations text[],
    on_behalf_ofs text[]
) RETURNS TABLE (
    scope text, payment_id text, parent_id text, events_id text, bound_by text, status text, awaits_event boolean,
    awaits text, is_open boolean,
    stripe_event_id text, said_at bigint, kind text, object_id text, fact_status text, amount bigint,
    amount_captured bigint, currency text, object_created bigint, fact_parent text, names_event text, named_by text,
    refers_to text, amount_released bigint, destination text, on_behalf_of text,
    row_id text, row_account text, row_status text, row_intent text, row_is_locked boolean
)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    locked_scopes text[];
    locked_ids text[];
    candidate_scopes text[];
    candidate_ids text[];
    rows_locked bigint := 0;
BEGIN
    -- Sorted, so that two transactions never wait for one another in a circle. One that another transaction created while
    -- the statement ran is not seen by it; the next one sees it. LATERAL keeps the plan at one index look-up for each.
    LOOP
        WITH RECURSIVE named AS (
            SELECT n.scope, n.payment_id FROM unnest(node_scopes, node_ids) AS n(scope, payment_id)
        ),
        wanted AS (
            SELECT scope, payment_id FROM named
            UNION
            SELECT w.scope, above.parent_id
            FROM wanted AS w
            CROSS JOIN LATERAL (
                SELECT p.parent_id
                FROM payment AS p
                WHERE p.scope = w.scope AND p.payment_id = w.payment_id
                OFFSET 0
            ) AS above
            WHERE above.parent_id IS NOT NULL
        ),
        created AS (
            INSERT INTO payment (scope, payment_id)
            SELECT scope, payment_id FROM named ORDER BY scope, payment_id
            ON CONFLICT (scope, payment_id) DO NOTHING
            RETURNING scope, payment_id
        ),
        locked AS (
            SELECT node.scope, node.payment_id
            FROM (SELECT w.scope, w.payment_id FROM wanted AS w ORDER BY w.scope, w.payment_id) AS w
            CROSS JOIN LATERAL (
                SELECT p.scope, p.payment_id
                FROM payment AS p
                WHERE p.scope = w.scope AND p.payment_id = w.payment_id
                FOR NO KEY UPDATE
            ) AS node
            UNION ALL
            SELECT scope, payment_id FROM created
        )
        SELECT array_agg(locked.scope), array_agg(locked.payment_id) INTO locked_scopes, locked_ids FROM locked;
        EXIT WHEN NOT EXISTS (
            SELECT * FROM unnest(node_scopes, node_ids)
            EXCEPT
            SELECT * FROM unnest(locked_scopes, locked_ids)
        );
    END LOOP;

    -- Of the three names the first that can be a key of events is kept as that key is written, the reference also beside
    -- metadata; where none can, the first is kept as it came, with named_by NULL, and binds nothing.
    IF cardinality(fact_ids) > 0 THEN
        WITH said AS MATERIALIZED (
            SELECT f.*,
                   sluice_event_key(f.tenant)::text AS tenant_key,
                   sluice_event_key(f.metadata)::text AS metadata_key,
                   sluice_event_key(f.reference)::text AS reference_key
            FROM unnest(fact_scopes, fact_ids, fact_events, said_ats, kinds, object_ids, statuses, amounts,
                        amounts_captured, currencies, objects_created, parent_ids, tenants, metadatas, referrers,
                        amounts_released, destinations, on_behalf_ofs)
                 AS f(scope, payment_id, stripe_event_id, said_at, kind, object_id, status, amount,
                      amount_captured, currency, object_created, parent_id, tenant, metadata, reference,
                      amount_released, destination, on_behalf_of)
        )
        INSERT INTO payment_fact (
            scope, payment_id, stripe_event_id, said_at, kind, object_id, status, amount, amount_captured, currency,
            object_created_at, parent_id, names_event, named_by, refers_to, amount_released, destination, on_behalf_of
        )
        SELECT s.scope, s.payment_id, s.stripe_event_id, to_timestamp(s.said_at), s.kind, s.object_id, s.status,
               s.amount, s.amount_captured, s.currency, to_timestamp(s.object_created), s.parent_id,
               coalesce(s.tenant_key, s.metadata_key, s.reference_key, s.tenant, s.metadata, s.reference),
               CASE
                 WHEN s.tenant_key IS NOT NULL THEN 'tenant'
                 WHEN s.metadata_key IS NOT NULL THEN 'metadata'
                 WHEN s.reference_key IS NOT NULL THEN 'reference'
               END,
               CASE WHEN s.tenant_key IS NULL AND s.metadata_key <> s.reference_key THEN s.reference_key END,
               s.amount_released, s.destination, s.on_behalf_of
        FROM said AS s
        ORDER BY s.scope, s.payment_id, s.stripe_event_id
        ON CONFLICT (scope, payment_id, stripe_event_id) DO NOTHING;
    END IF;

    -- Should another transaction replace an id that a row stores, that one leaves the claim among the facts: this
    -- snapshot has either the one or the other.
    RETURN QUERY
    SELECT p.scope, p.payment_id, p.parent_id, p.events_id, p.bound_by, p.status, p.awaits_event, p.awaits,
           p.opened_at IS NOT NULL,
           f.stripe_event_id, f.said_at, f.kind, f.object_id, f.status, f.amount, f.amount_captured, f.currency,
           f.object_created, f.parent_id, f.names_event, f.named_by, f.refers_to, f.amount_released, f.destination,
           f.on_behalf_of, NULL, NULL, NULL, NULL, NULL::boolean
    FROM unnest(locked_scopes, locked_ids) AS n(scope, payment_id)
    CROSS JOIN LATERAL (
        SELECT * FROM payment AS q WHERE q.scope = n.scope AND q.payment_id = n.payment_id OFFSET 0
    ) AS p
    LEFT JOIN LATERAL (
        SELECT g.stripe_event_id, extract(epoch FROM g.said_at)::bigint AS said_at, g.kind, g.object_id, g.status,
               g.amount, g.amount_captured, g.currency, extract(epoch FROM g.object_created_at)::bigint AS object_created,
               g.parent_id, g.names_event, g.named_by, g.refers_to, g.amount_released, g.destination, g.on_behalf_of
        FROM payment_fact AS g
        WHERE g.scope = n.scope AND g.payment_id = n.payment_id
        UNION ALL
        SELECT 'stored:' || e.id::text, 0, 'stored', NULL, NULL, NULL, NULL, NULL, NULL, NULL, e.id::text, 'stored',
               NULL, NULL, NULL, NULL
        FROM events AS e
        WHERE (reads_rows OR p.events_id IS NULL OR p.awaits_event)
          AND NOT starts_with(n.payment_id, 'in_') AND NOT starts_with(n.payment_id, 'sub_')
          AND e.stripe_payment_intent_id = n.payment_id
          AND n.scope = ANY (sluice_shown_scopes(NULL, e.stripe_account_id))
          AND NOT EXISTS (
              SELECT
              FROM payment AS other
              WHERE other.payment_id = e.stripe_payment_intent_id
                AND other.events_id = e.id::text
                AND other.scope = ANY (sluice_shown_scopes(e.id::text, e.stripe_account_id))
                AND NOT other.awaits_event
          )
        OFFSET 0
    ) AS f ON true;

    SELECT array_agg(c.key::text ORDER BY c.key, c.scope), array_agg(c.scope ORDER BY c.key, c.scope)
    INTO candidate_ids, candidate_scopes
    FROM (
        SELECT DISTINCT sluice_event_key(may_be.events_id) AS key, may_be.scope
        FROM (
            SELECT n.scope, claim.events_id
            FROM unnest(locked_scopes, locked_ids) AS n(scope, payment_id)
            CROSS JOIN LATERAL (
                SELECT q.events_id, q.awaits_event FROM payment AS q
                WHERE q.scope = n.scope AND q.payment_id = n.payment_id
                OFFSET 0
            ) AS p
            CROSS JOIN LATERAL (
                SELECT p.events_id
                UNION ALL
                SELECT e.id::text FROM events AS e
                WHERE (reads_rows OR p.events_id IS NULL OR p.awaits_event) AND e.stripe_payment_intent_id = n.payment_id
                OFFSET 0
            ) AS claim
            UNION ALL
            SELECT n.scope, claim.events_id
            FROM unnest(locked_scopes, locked_ids) AS n(scope, payment_id)
            CROSS JOIN LATERAL (
                SELECT g.names_event, g.named_by, g.refers_to FROM payment_fact AS g
                WHERE g.scope = n.scope AND g.payment_id = n.payment_id
                OFFSET 0
            ) AS f
            CROSS JOIN LATERAL (
                SELECT f.names_event WHERE f.named_by IS NOT NULL
                UNION ALL
                SELECT f.refers_to
            ) AS claim(events_id)
        ) AS may_be
        WHERE may_be.events_id IS NOT NULL
    ) AS c;

    -- Sorted, too; but not where invoices or subscriptions are among them: more payments may have to be locked first, and
    -- rows are locked after all payments. A row that belongs to another account is not locked. NO KEY: who refers to the
    -- row by a foreign key does not wait for us.
    IF NOT EXISTS (SELECT FROM unnest(locked_ids) AS n(payment_id)
                   WHERE n.payment_id ^@ 'in_' OR n.payment_id ^@ 'sub_') THEN
        RETURN QUERY
        SELECT wanted.scope, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL, NULL::boolean, NULL, NULL::bigint, NULL,
               NULL, NULL, NULL::bigint, NULL::bigint, NULL, NULL::bigint, NULL, NULL, NULL, NULL, NULL::bigint, NULL, NULL,
               found_row.row_id, found_row.row_account, found_row.row_status, found_row.row_intent, true
        FROM unnest(candidate_ids, candidate_scopes) AS wanted(key, scope)
        CROSS JOIN LATERAL (
            SELECT e.id::text AS row_id, nullif(e.stripe_account_id, '')::text AS row_account,
                   e.payment_status::text AS row_status, e.stripe_payment_intent_id AS row_intent
            FROM events AS e
            WHERE e.id = sluice_event_key(wanted.key)
              AND wanted.scope = ANY (sluice_payment_scopes(e.id::text, e.stripe_account_id))
            FOR NO KEY UPDATE
        ) AS found_row;
        GET DIAGNOSTICS rows_locked = ROW_COUNT;
    END IF;
    -- Whether the others exist, whoever they belong to.
    IF rows_locked < cardinality(candidate_ids) THEN
        RETURN QUERY
        SELECT wanted.scope, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL, NULL::boolean, NULL, NULL::bigint, NULL,
               NULL, NULL, NULL::bigint, NULL::bigint, NULL, NULL::bigint, NULL, NULL, NULL, NULL, NULL::bigint, NULL, NULL,
               found_row.row_id, found_row.row_account, found_row.row_status, found_row.row_intent, false
        FROM unnest(candidate_ids, candidate_scopes) AS wanted(key, scope)
        CROSS JOIN LATERAL (
            SELECT e.id::text AS row_id, nullif(e.stripe_account_id, '')::text AS row_account,
                   e.payment_status::text AS row_status, e.stripe_payment_intent_id AS row_intent
            FROM events AS e
            WHERE e.id = sluice_event_key(wanted.key)
            OFFSET 0
        ) AS found_row;
    END IF;
END
$function$;
