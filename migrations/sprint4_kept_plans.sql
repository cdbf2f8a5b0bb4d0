-- What the processor does with every batch, with plans that are made once: planning took longer than the statements.
--   psql "$DATABASE_URL" -f migrations/sprint4_kept_plans.sql
-- One transaction, safe to run again; no table changes. All run with the rights of whoever calls them. The two functions of
-- sprint3_ledger_functions.sql stand here as they are now.
--
-- A plan that is kept must be right for every size of every table, and the planner prefers whatever is small on the day. So:
--   - each row is looked up by its key; LATERAL … OFFSET 0 keeps that from becoming a join of whole tables;
--   - an UPDATE finds its row by = ANY (ARRAY[key]): unlike = that can be neither hashed nor merged, only looked up;
--   - no look-up can use another index than that of its key: a condition that would let the planner read all of a partial
--     index, or all that begins alike in another one, is written so that it does not see it (CASE, || '', a comparison of
--     rows, or outside OFFSET 0);
--   - enable_seqscan = off keeps an empty table from being read whole for good.
--
-- Each is VOLATILE, so each statement in it sees what is committed as that statement begins (READ COMMITTED), just as if
-- it were sent by itself. https://www.postgresql.org/docs/current/xfunc-volatility.html
BEGIN;

DO $kept$
DECLARE
    -- events may live in another schema than Sluice's own tables
    path text := (SELECT string_agg(quote_ident(nspname), ', ') FROM (
        SELECT DISTINCT n.nspname, n.nspname <> current_schema() AS is_second
        FROM pg_namespace n
        WHERE n.nspname = current_schema()
           OR n.oid = (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass)
        ORDER BY is_second) AS schemas);
    item record;
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));

    -- Locks the rows whose turn it is, in the order of their ids; skips what another processor holds. The limits, in
    -- milliseconds, hold for this transaction alone, behind a pooler too. A run alone needs its start committed; a suspect
    -- never runs in company. The commit waits for no disk: should PostgreSQL crash, effect and processed = true go together,
    -- and the relay sends the webhook again. The body is given for those that came without.
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_claim_webhooks(
    event_ids text[], attempts integer[], without_body text[], is_alone boolean,
    statement_limit text, lock_limit text, idle_limit text
) RETURNS TABLE (stripe_event_id text, body bytea)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, %s, pg_temp
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
BEGIN
    PERFORM set_config('statement_timeout', statement_limit, true),
            set_config('lock_timeout', lock_limit, true),
            set_config('idle_in_transaction_session_timeout', idle_limit, true),
            set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    SELECT log.stripe_event_id::text, CASE WHEN log.stripe_event_id = ANY (without_body) THEN log.body END
    FROM (
        SELECT m.stripe_event_id, m.attempt
        FROM unnest(event_ids, attempts) AS m(stripe_event_id, attempt)
        ORDER BY m.stripe_event_id
    ) AS message
    CROSS JOIN LATERAL (
        SELECT w.stripe_event_id, w.body
        FROM webhook_logs AS w
        WHERE w.stripe_event_id = message.stripe_event_id
          AND CASE
                WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL THEN false
                ELSE w.processing_attempts = message.attempt AND (w.solo_starts > 0) = is_alone
              END
        FOR UPDATE SKIP LOCKED
    ) AS log;
END
$function$
    $create$, path);

    -- The last statement before the commit that makes the effects true.
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_settle_webhooks(event_ids text[], outcomes text[])
    RETURNS TABLE (stripe_event_id text, delay_seconds double precision)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, %s, pg_temp
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE webhook_logs AS w
    SET processed = true,
        processed_at = clock_timestamp(),
        outcome = settled.outcome,
        published_at = NULL,
        solo_starts = 0
    FROM unnest(event_ids, outcomes) AS settled(stripe_event_id, outcome)
    WHERE w.stripe_event_id = ANY (ARRAY[settled.stripe_event_id])
    RETURNING w.stripe_event_id::text, extract(epoch FROM clock_timestamp() - w.created_at)::double precision;
END
$function$
    $create$, path);

    -- Locks these payments and what is known to stand above them, creating those that nobody knows; appends facts; gives
    -- each locked payment with each of its facts, one row at least; then locks and gives the events rows that these may be
    -- bound to, as far as they may be touched from there (row_id is set in these alone). Of payments that were not bound to a row, also the
    -- claim of an events row that stores such an id of its own accord: see docs/architecture.md.
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_append_facts(
    node_scopes text[], node_ids text[],
    fact_scopes text[], fact_ids text[], fact_events text[], said_ats bigint[], kinds text[], object_ids text[],
    statuses text[], amounts bigint[], amounts_captured bigint[], currencies text[], objects_created bigint[],
    parent_ids text[], tenants text[], metadatas text[], referrers text[]
) RETURNS TABLE (
    scope text, payment_id text, parent_id text, events_id text, bound_by text, status text, awaits_event boolean,
    stripe_event_id text, said_at bigint, kind text, object_id text, fact_status text, amount bigint,
    amount_captured bigint, currency text, object_created bigint, fact_parent text, names_event text, named_by text,
    row_id text, row_account text, row_status text, row_intent text
)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, %s, pg_temp
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    locked_scopes text[];
    locked_ids text[];
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

    -- The first of the three names that can be a key of events is kept as that key is written; where none can, the first
    -- is kept as it came, with named_by NULL, and binds nothing.
    IF cardinality(fact_ids) > 0 THEN
        WITH said AS MATERIALIZED (
            SELECT f.*,
                   sluice_event_key(f.tenant)::text AS tenant_key,
                   sluice_event_key(f.metadata)::text AS metadata_key,
                   sluice_event_key(f.reference)::text AS reference_key
            FROM unnest(fact_scopes, fact_ids, fact_events, said_ats, kinds, object_ids, statuses, amounts,
                        amounts_captured, currencies, objects_created, parent_ids, tenants, metadatas, referrers)
                 AS f(scope, payment_id, stripe_event_id, said_at, kind, object_id, status, amount,
                      amount_captured, currency, object_created, parent_id, tenant, metadata, reference)
        )
        INSERT INTO payment_fact (
            scope, payment_id, stripe_event_id, said_at, kind, object_id, status, amount, amount_captured, currency,
            object_created_at, parent_id, names_event, named_by
        )
        SELECT s.scope, s.payment_id, s.stripe_event_id, to_timestamp(s.said_at), s.kind, s.object_id, s.status,
               s.amount, s.amount_captured, s.currency, to_timestamp(s.object_created), s.parent_id,
               coalesce(s.tenant_key, s.metadata_key, s.reference_key, s.tenant, s.metadata, s.reference),
               CASE
                 WHEN s.tenant_key IS NOT NULL THEN 'tenant'
                 WHEN s.metadata_key IS NOT NULL THEN 'metadata'
                 WHEN s.reference_key IS NOT NULL THEN 'reference'
               END
        FROM said AS s
        ORDER BY s.scope, s.payment_id, s.stripe_event_id
        ON CONFLICT (scope, payment_id, stripe_event_id) DO NOTHING;
    END IF;

    -- Should another transaction replace an id that a row stores, that one leaves the claim among the facts: this
    -- snapshot has either the one or the other.
    RETURN QUERY
    SELECT p.scope, p.payment_id, p.parent_id, p.events_id, p.bound_by, p.status, p.awaits_event,
           f.stripe_event_id, f.said_at, f.kind, f.object_id, f.status, f.amount, f.amount_captured, f.currency,
           f.object_created, f.parent_id, f.names_event, f.named_by, NULL, NULL, NULL, NULL
    FROM unnest(locked_scopes, locked_ids) AS n(scope, payment_id)
    CROSS JOIN LATERAL (
        SELECT * FROM payment AS q WHERE q.scope = n.scope AND q.payment_id = n.payment_id OFFSET 0
    ) AS p
    LEFT JOIN LATERAL (
        SELECT g.stripe_event_id, extract(epoch FROM g.said_at)::bigint AS said_at, g.kind, g.object_id, g.status,
               g.amount, g.amount_captured, g.currency, extract(epoch FROM g.object_created_at)::bigint AS object_created,
               g.parent_id, g.names_event, g.named_by
        FROM payment_fact AS g
        WHERE g.scope = n.scope AND g.payment_id = n.payment_id
        UNION ALL
        SELECT 'stored:' || e.id::text, 0, 'stored', NULL, NULL, NULL, NULL, NULL, NULL, NULL, e.id::text, 'stored'
        FROM events AS e
        WHERE p.events_id IS NULL AND NOT starts_with(n.payment_id, 'in_') AND NOT starts_with(n.payment_id, 'sub_')
          AND e.stripe_payment_intent_id = n.payment_id
          AND n.scope IN ('live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                          'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'))
          AND NOT EXISTS (
              SELECT
              FROM payment AS other
              WHERE other.payment_id = e.stripe_payment_intent_id
                AND other.events_id = e.id::text
                AND other.scope IN ('tenant:' || e.id::text,
                                    'live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                                    'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'))
                AND NOT other.awaits_event
          )
        OFFSET 0
    ) AS f ON true;

    -- Sorted, too; but not where invoices or subscriptions are among them: more payments may have to be locked first, and
    -- rows are locked after all payments. A row that belongs to another account is neither locked nor given. NO KEY: who refers to the row by a
    -- foreign key does not wait for us.
    IF EXISTS (SELECT FROM unnest(locked_ids) AS n(payment_id) WHERE n.payment_id ^@ 'in_' OR n.payment_id ^@ 'sub_') THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT wanted.scope, NULL, NULL, NULL, NULL, NULL, NULL::boolean, NULL, NULL::bigint, NULL, NULL, NULL, NULL::bigint,
           NULL::bigint, NULL, NULL::bigint, NULL, NULL, NULL,
           found.row_id, found.row_account, found.row_status, found.row_intent
    FROM (
        SELECT DISTINCT sluice_event_key(may_be.events_id) AS key, may_be.scope
        FROM (
            SELECT n.scope, p.events_id
            FROM unnest(locked_scopes, locked_ids) AS n(scope, payment_id)
            CROSS JOIN LATERAL (
                SELECT q.events_id FROM payment AS q
                WHERE q.scope = n.scope AND q.payment_id = n.payment_id AND q.events_id IS NOT NULL
                OFFSET 0
            ) AS p
            UNION ALL
            SELECT n.scope, f.names_event
            FROM unnest(locked_scopes, locked_ids) AS n(scope, payment_id)
            CROSS JOIN LATERAL (
                SELECT g.names_event FROM payment_fact AS g
                WHERE g.scope = n.scope AND g.payment_id = n.payment_id AND g.named_by IS NOT NULL
                OFFSET 0
            ) AS f
        ) AS may_be
        ORDER BY 1, 2
    ) AS wanted
    CROSS JOIN LATERAL (
        SELECT e.id::text AS row_id, nullif(e.stripe_account_id, '')::text AS row_account,
               e.payment_status::text AS row_status, e.stripe_payment_intent_id AS row_intent
        FROM events AS e
        WHERE e.id = wanted.key
          AND wanted.scope IN ('tenant:' || e.id::text,
                               'live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                               'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'))
        FOR NO KEY UPDATE
    ) AS found;
END
$function$
    $create$, path);

    -- Stores payments that are locked, and shows on events rows that are locked what the ledger knows.
    --   own_words: rows whose own words are kept first: the status, to be restored should the last payment turn out to be
    --     another row's, and the intent that the row stored, as a claim on that payment. A row that shows what Sluice
    --     projected is left out: there the stored payment is known as bound to it.
    --   was_left: whether a payment has just left that row. A row shows the first entry of payment_of_event over its
    --     scopes; that costs the same for any number of payments. A row that never had a payment keeps what it says; one
    --     that lost its last gets that back.
    --   receipt_rows, receipt_events: rows and the webhooks that concerned them.
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION sluice_show_payments(
    own_words text[],
    node_scopes text[], node_ids text[], parent_ids text[], bound_to text[], bound_bys text[], statuses text[],
    ranks smallint[], awaiting boolean[],
    subscription_scopes text[], subscription_ids text[],
    row_ids text[], was_left boolean[], receipt_rows text[], receipt_events text[]
) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, %s, pg_temp
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
BEGIN
    IF cardinality(own_words) > 0 THEN
        WITH own_word AS (
            SELECT e.id::text AS events_id, e.payment_status AS status, e.stripe_payment_intent_id AS intent,
                   coalesce(nullif(e.stripe_account_id, ''), 'platform') AS account
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
                    AND p.scope IN ('tenant:' || e.id::text,
                                    'live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                                    'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'))
                    AND NOT p.awaits_event
              )
        )
        INSERT INTO payment_fact (
            scope, payment_id, stripe_event_id, said_at, kind, status, object_id, names_event, named_by
        )
        SELECT 'events', r.events_id, 'stored', timestamptz 'epoch', 'stored', r.status, r.intent, NULL, NULL
        FROM own_word AS r
        UNION ALL
        SELECT m.mode || ':' || r.account, r.intent, 'stored:' || r.events_id, timestamptz 'epoch', 'stored', NULL,
               NULL, r.events_id, 'stored'
        FROM own_word AS r
        CROSS JOIN (VALUES ('live'), ('test')) AS m(mode)
        WHERE length(r.intent) BETWEEN 1 AND 255
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
            updated_at = now()
        FROM unnest(node_scopes, node_ids, parent_ids, bound_to, bound_bys, statuses, ranks, awaiting)
             AS n(scope, payment_id, parent_id, events_id, bound_by, status, rank, awaits_event)
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
                FROM unnest(ARRAY['tenant:' || n.events_id,
                                  'live:' || coalesce(nullif(e.stripe_account_id, ''), 'platform'),
                                  'test:' || coalesce(nullif(e.stripe_account_id, ''), 'platform')]) AS s(scope)
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
$function$
    $create$, path);

    FOR item IN SELECT f.oid::regprocedure AS name FROM pg_proc f
                WHERE f.pronamespace = current_schema()::regnamespace
                  AND f.proname IN ('sluice_claim_webhooks', 'sluice_settle_webhooks', 'sluice_append_facts',
                                    'sluice_show_payments')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', item.name);
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM anon', item.name);
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM authenticated', item.name);
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice_processor') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO sluice_processor', item.name);
        ELSE
            RAISE WARNING 'The role sluice_processor does not exist: make it, then run the foundation and this file again.';
        END IF;
    END LOOP;
END
$kept$;

COMMIT;
