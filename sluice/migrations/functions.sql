-- repeatable: `sluice migrate` runs this file again whenever it has changed
-- Sluice's functions, who may call them, and the trigger. Written by `make schema` from functions/: change them there.
--   psql "$DATABASE_URL" -f migrations/functions.sql      after the foundation, or paste it into Supabase's editor
-- One transaction: all of it or nothing. Safe to run again.

-- The processor calls most of these with every batch, with plans that are made once (plan_cache_mode): planning took
-- longer than the statements. A plan that is kept must be right for every size of every table, and the planner prefers
-- whatever is small on the day. So, where such a plan is kept:
--   - each row is looked up by its key; LATERAL … OFFSET 0 keeps that from becoming a join of whole tables;
--   - an UPDATE finds its row by = ANY (ARRAY[key]): unlike = that can be neither hashed nor merged, only looked up;
--   - no look-up can use another index than that of its key: a condition that would let the planner read all of a partial
--     index, or all that begins alike in another one, is written so that it does not see it (CASE, || '', a comparison of
--     rows, or outside OFFSET 0);
--   - enable_seqscan = off keeps an empty table from being read whole for good.
-- Each of them is VOLATILE, so each statement in it sees what is committed as that statement begins (READ COMMITTED), just
-- as if it were sent by itself. https://www.postgresql.org/docs/current/xfunc-volatility.html
--
-- All run with the rights of whoever calls them, but for those that say SECURITY DEFINER. The search_path of each is set
-- at the end.
BEGIN;

DO $begin$
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);  -- a busy table is waited for briefly, not queued in front of
    PERFORM set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice migrations', 0));
END
$begin$;

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

-- Begins a pause, with an operation that says who decided and why; the login is PostgreSQL's own. Its number, or NULL where
-- the same is paused already.
CREATE OR REPLACE FUNCTION sluice_begin_pause(what text, which text, why text, who text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    decided bigint;
    begun bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice pauses', 0));
    IF EXISTS (SELECT FROM pause WHERE ended_at IS NULL AND kind = what AND value IS NOT DISTINCT FROM which) THEN
        RETURN NULL;
    END IF;
    INSERT INTO operation (verb, filter, reason, person, ended_at)
    VALUES ('pause', jsonb_build_object(what, coalesce(which, 'everything')), why, who, now())
    RETURNING id INTO decided;
    INSERT INTO pause (kind, value, began_by) VALUES (what, which, decided) RETURNING id INTO begun;
    RETURN begun;
END
$function$;

-- Reads bodies by their ids, each from the partition that its id names, whatever number of partitions there are: a plan of
-- the whole table would lock them all. The body of a partition that was dropped is not there any more. What a transaction
-- has read is not dropped before its end.
CREATE OR REPLACE FUNCTION sluice_bodies(ids bigint[]) RETURNS TABLE (id bigint, body bytea)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 100
    SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    days bigint[] := ARRAY(SELECT DISTINCT i / 10000000000 FROM unnest(ids) AS i WHERE i IS NOT NULL);
    day bigint;
BEGIN
    FOREACH day IN ARRAY days LOOP
        BEGIN
            RETURN QUERY EXECUTE format('SELECT b.id, b.body FROM webhook_body_%s AS b WHERE b.id = ANY ($1)', day) USING ids;
        EXCEPTION WHEN undefined_table THEN NULL;
        END;
    END LOOP;
END
$function$;

-- The body of one row, wherever it is: sluice_body(body, body_id). NULL: there is none any more. For many rows take
-- sluice_bodies.
CREATE OR REPLACE FUNCTION sluice_body(body bytea, body_id bigint) RETURNS bytea
    LANGUAGE sql VOLATILE AS $function$
    SELECT coalesce(body, (SELECT stored.body FROM sluice_bodies(ARRAY[body_id]) AS stored))
$function$;

-- The body as jsonb; NULL where jsonb refuses it (\u0000, lone surrogates, no UTF-8, too deep).
CREATE OR REPLACE FUNCTION sluice_body_json(body bytea) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR character_not_in_repertoire THEN
    RETURN NULL;
END
$function$;

-- Lets no further item of an operation be changed, and keeps who said so. Waits for the batch that is under way. Says whether
-- the operation was still open.
CREATE OR REPLACE FUNCTION sluice_cancel_operation(operation_number bigint, who text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    UPDATE operation
    SET cancelled_at = now(),
        cancelled_by = who
    WHERE id = operation_number AND ended_at IS NULL AND cancelled_at IS NULL;
    RETURN FOUND;
END
$function$;

-- Carries out the next items of an operation, in the transaction that calls it: locks those that are free, makes the transition
-- that the operation's verb and filter ask for, and writes down what became of each. So no login changes a webhook without its
-- record, nor writes a record without the change. Items come in their order after a position; a row that another transaction
-- holds keeps for a later call, until one gives up. is_open is false when there is nothing to go on with. What a
-- handler does is the processor's to do.
CREATE OR REPLACE FUNCTION sluice_carry_out(
    operation_number bigint, after_position bigint, at_most integer, gives_up boolean
) RETURNS TABLE (is_open boolean, taken integer, ended integer, last_position bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    work record;
    undone_verb text;
    of_errors boolean;
    ids text[];        -- of the items whose turn it is
    known jsonb;       -- told of each that exists
    was jsonb;         -- told of each that is locked
    fit text[];        -- locked, and in a state that the filter asks for
    changed text[];
    reopened text[];   -- error rows
    becomes jsonb;
    settled jsonb := '{}';   -- ids of error rows that are resolved with a webhook, by its id
BEGIN
    SELECT o.* INTO work
    FROM operation AS o
    WHERE o.id = operation_number AND o.handler IS NULL AND o.ended_at IS NULL AND o.cancelled_at IS NULL
    FOR SHARE;
    is_open := FOUND;
    SELECT o.verb INTO undone_verb FROM operation AS o WHERE o.id = work.undoes;
    SELECT array_agg(item.item_id), count(*), max(item.place) INTO ids, taken, last_position
    FROM (
        SELECT i.item_id, i.position AS place
        FROM operation_item AS i
        WHERE i.operation_id = work.id AND i.position > after_position AND i.done_at IS NULL
        ORDER BY i.position
        LIMIT at_most
        FOR UPDATE SKIP LOCKED
    ) AS item;
    ended := 0;
    IF taken = 0 THEN
        RETURN NEXT;
        RETURN;
    END IF;

    of_errors := 'resolve' IN (work.verb, coalesce(undone_verb, ''));
    known := (SELECT coalesce(jsonb_object_agg(t.item_id, t.told), '{}') FROM sluice_tell_items(of_errors, ids) AS t);
    was := (SELECT coalesce(jsonb_object_agg(t.item_id, t.told), '{}')
            FROM sluice_tell_items(of_errors, ARRAY(SELECT sluice_hold_items(of_errors, ids))) AS t);
    fit := ARRAY(
        SELECT b.key
        FROM jsonb_each(was) AS b
        WHERE of_errors OR NOT work.filter ? 'states' OR work.filter -> 'states' ? (b.value ->> 'state')
    );

    IF work.verb = 'retry' THEN
        changed := ARRAY(SELECT sluice_retry_webhooks(fit));
    ELSIF work.verb = 'replay' THEN
        changed := ARRAY(SELECT sluice_replay_webhooks(fit));
        IF work.filter ? 'states' THEN
            changed := changed || ARRAY(SELECT sluice_replay_ended_webhooks(
                ARRAY(SELECT one FROM unnest(fit) AS one WHERE one <> ALL (changed))));
        END IF;
    ELSIF work.verb = 'write-off' THEN
        changed := ARRAY(SELECT sluice_write_off_webhooks(fit));
        WITH errors AS (
            UPDATE error_logs AS e
            SET resolved = true,
                resolved_at = now()
            WHERE coalesce(e.stripe_event_id, e.event_id) = ANY (changed) AND e.stripe_event_id IS NOT NULL AND NOT e.resolved
            RETURNING e.stripe_event_id, e.id::text AS id
        )
        SELECT coalesce(jsonb_object_agg(e.stripe_event_id, e.ids), '{}') INTO settled
        FROM (SELECT stripe_event_id, jsonb_agg(id) AS ids FROM errors GROUP BY stripe_event_id) AS e;
    ELSIF work.verb = 'resolve' THEN
        changed := ARRAY(SELECT sluice_mark_errors(fit, true));
    ELSIF work.verb = 'undo' THEN
        -- Only what the other operation changed, and none after it.
        fit := ARRAY(
            SELECT i.item_id
            FROM operation_item AS i
            WHERE i.operation_id = work.undoes AND i.item_id = ANY (fit) AND i.result = 'changed'
              AND NOT EXISTS (
                  SELECT FROM operation_item AS later
                  WHERE later.item_id = i.item_id AND later.operation_id > work.undoes AND later.result = 'changed')
        );
        IF undone_verb = 'resolve' THEN
            changed := ARRAY(SELECT sluice_mark_errors(fit, false));
        ELSIF undone_verb = 'write-off' THEN
            changed := ARRAY(
                SELECT sluice_reopen_webhooks(array_agg(i.item_id), array_agg(i.before ->> 'outcome'))
                FROM operation_item AS i
                WHERE i.operation_id = work.undoes AND i.item_id = ANY (fit)
            );
            reopened := ARRAY(
                SELECT jsonb_array_elements_text(i.after -> 'resolved_errors')
                FROM operation_item AS i
                WHERE i.operation_id = work.undoes AND i.item_id = ANY (changed)
            );
            PERFORM sluice_mark_errors(reopened, false);
        END IF;
    END IF;
    changed := coalesce(changed, '{}');

    IF NOT of_errors THEN
        INSERT INTO error_logs (severity, kind, message, stripe_event_id, service, resolved, resolved_at)
        SELECT 'info', 'webhook',
               format('%s by %s: %s (operation %s)',
                      CASE work.verb WHEN 'retry' THEN 'Retried' WHEN 'replay' THEN 'Replayed' WHEN 'write-off' THEN 'Written off'
                                     ELSE 'Write-off undone' END,
                      work.person, work.reason, work.id),
               one, 'operator', true, now()
        FROM unnest(changed) AS one;
    END IF;
    becomes := (SELECT coalesce(jsonb_object_agg(t.item_id, t.told), '{}') FROM sluice_tell_items(of_errors, changed) AS t);
    UPDATE operation_item AS i
    SET done_at = now(),
        result = fate.word,
        before = CASE WHEN fate.word <> 'missing' THEN coalesce(was -> i.item_id, known -> i.item_id) END,
        after = (becomes -> i.item_id)
            || CASE WHEN settled ? i.item_id THEN jsonb_build_object('resolved_errors', settled -> i.item_id) ELSE '{}' END
    FROM (
        SELECT one AS item_id,
               CASE WHEN one = ANY (changed) THEN 'changed'
                    WHEN was ? one THEN 'unfit'
                    WHEN NOT known ? one THEN 'missing'
                    WHEN gives_up THEN 'held' END AS word
        FROM unnest(ids) AS one
    ) AS fate
    WHERE i.operation_id = work.id AND i.item_id = fate.item_id AND fate.word IS NOT NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN NEXT;
END
$function$;

-- Locks the rows whose turn it is, in the order of their ids; skips what another processor holds. Gives of each row all
-- that a handler can see of an event, so that a message says which row, and the row says what it is. A row that was
-- tried and is not due again has no message on its way: one that comes all the same is not from the relay. The limits,
-- in milliseconds, hold for this transaction alone, behind a pooler too. An isolated run needs its start committed; a
-- row with such a start never runs in company. The commit waits for no disk: should PostgreSQL crash, effect and
-- processed = true go together, and the relay sends the webhook again.
--   digests: SHA-256 of a message's body where that is large; NULL gives the row's body, to be compared there.
--   claimed_in: the transaction, for sluice_settle_batch.
--   is_last_look: whether the row was parked for as long as patience_seconds.
CREATE OR REPLACE FUNCTION sluice_claim_batch(
    event_ids text[], attempts integer[], digests bytea[], is_alone boolean, patience_seconds double precision,
    statement_limit text, lock_limit text, idle_limit text
) RETURNS TABLE (
    stripe_event_id text, webhook_type text, stripe_account_id text, livemode boolean, api_version text,
    object_id text, created bigint, tenant text, body bytea, has_same_body boolean, is_last_look boolean,
    claimed_in text
)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    own_transaction text := pg_current_xact_id()::text;
BEGIN
    PERFORM set_config('statement_timeout', statement_limit, true),
            set_config('lock_timeout', lock_limit, true),
            set_config('idle_in_transaction_session_timeout', idle_limit, true),
            set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH log AS MATERIALIZED (
        SELECT held.*, message.digest
        FROM (
            SELECT m.stripe_event_id, m.attempt, m.digest
            FROM unnest(event_ids, attempts, digests) AS m(stripe_event_id, attempt, digest)
            ORDER BY m.stripe_event_id
        ) AS message
        CROSS JOIN LATERAL (
            SELECT w.stripe_event_id, w.webhook_type, w.stripe_account_id, w.livemode, w.api_version, w.object_id,
                   w.stripe_created_at, w.tenant, w.body, w.body_id, w.parked_at
            FROM webhook_logs AS w
            WHERE w.stripe_event_id = message.stripe_event_id
              AND CASE
                    WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL THEN false
                    WHEN w.published_at IS NULL AND coalesce(w.next_attempt_at, 'infinity') > now() THEN false
                    ELSE w.processing_attempts = message.attempt AND (w.solo_starts > 0) = is_alone
                  END
            FOR UPDATE SKIP LOCKED
        ) AS held
    )
    SELECT log.stripe_event_id::text, log.webhook_type::text, log.stripe_account_id::text,
           coalesce(log.livemode, false), log.api_version::text, log.object_id::text,
           coalesce(extract(epoch FROM log.stripe_created_at), 0)::bigint, log.tenant::text,
           CASE WHEN log.digest IS NULL THEN coalesce(log.body, stored.body) END,
           CASE WHEN log.digest IS NOT NULL
                THEN coalesce(sha256(coalesce(log.body, stored.body)) = log.digest, false) END,
           coalesce(log.parked_at <= now() - patience_seconds * interval '1 second', false), own_transaction
    FROM log
    LEFT JOIN sluice_bodies(ARRAY(SELECT locked.body_id FROM log AS locked WHERE locked.body_id IS NOT NULL)) AS stored
        ON stored.id = log.body_id
    ORDER BY log.stripe_event_id;
END
$function$;

-- Connected accounts that payments or events name. The account of an organiser whose webhooks come by a URL and a secret of
-- their own is none. Each step over the payments is a look-up in their key.
CREATE OR REPLACE FUNCTION sluice_connected_accounts() RETURNS SETOF text
    LANGUAGE sql STABLE AS $function$
    WITH RECURSIVE found AS (
        SELECT mode, (SELECT p.scope FROM payment AS p WHERE p.scope >= mode || ':acct_' ORDER BY p.scope LIMIT 1) AS scope
        FROM unnest(ARRAY['live', 'test']) AS mode
        UNION ALL
        SELECT f.mode, (SELECT p.scope FROM payment AS p WHERE p.scope > f.scope ORDER BY p.scope LIMIT 1)
        FROM found AS f
        WHERE f.scope LIKE f.mode || ':acct\_%'
    ), named AS (
        SELECT DISTINCT ON (stripe_account_id) stripe_account_id::text AS account, id::text AS row_id
        FROM events
        WHERE stripe_account_id LIKE 'acct\_%'
    )
    SELECT split_part(scope, ':', 2) FROM found WHERE scope LIKE mode || ':acct\_%'
    UNION
    SELECT account FROM named
    WHERE NOT EXISTS (SELECT FROM payment AS p WHERE p.scope = 'tenant:' || named.row_id)
    LIMIT 10000
$function$;

-- How many webhooks the processors have to do now, counted up to a limit: those published and not tried, and those whose
-- next attempt is due. KEDA asks it. Without a sort the planner reads each index in its order, from the mark on; else it
-- would read all of another one that looks as small.
CREATE OR REPLACE FUNCTION sluice_count_due(most bigint) RETURNS bigint
    LANGUAGE sql STABLE SET enable_sort = off SET enable_seqscan = off AS $function$
    SELECT least(most,
        (SELECT count(*) FROM (
            SELECT FROM webhook_logs
            WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
              AND published_at >= coalesce((SELECT untried_from FROM queue_watermark), '-infinity')
            ORDER BY published_at
            LIMIT most) AS untried)
      + (SELECT count(*) FROM (
            SELECT FROM webhook_logs
            WHERE NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at <= now()
              AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark), '-infinity')
            ORDER BY next_attempt_at
            LIMIT most) AS due))
$function$;

-- Counts what retention would take, for a dry run; NULL for a moment counts nothing. Bodies are those of whole days, and in
-- rows; what is still needed of them is counted too.
CREATE OR REPLACE FUNCTION sluice_count_expired(
    bodies_before date, webhooks_before timestamptz, errors_before timestamptz, items_before timestamptz
) RETURNS TABLE (what text, found bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET timezone = 'UTC' AS $function$
BEGIN
    RETURN QUERY
    SELECT 'days'::text, count(*) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'webhook_body'::regclass AND c.relname < 'webhook_body_' || to_char(bodies_before, 'YYYYMMDD')
    UNION ALL
    SELECT 'bodies in rows', count(*) FROM webhook_logs
    WHERE body IS NOT NULL AND processed AND created_at < bodies_before AND coalesce(processed_at, created_at) < bodies_before
    UNION ALL
    SELECT 'webhooks', count(*) FROM webhook_logs
    WHERE processed AND created_at < webhooks_before AND coalesce(processed_at, created_at) < webhooks_before
    UNION ALL
    SELECT 'errors', count(*) FROM error_logs WHERE created_at < errors_before AND (resolved OR severity <> 'critical')
    UNION ALL
    SELECT 'items of operations', count(*) FROM operation_item AS i JOIN operation AS o ON o.id = i.operation_id
    WHERE coalesce(o.ended_at, o.cancelled_at) < items_before;
END
$function$;

-- Deletes rows of error_logs that came before; of critical ones those that are resolved. At most so many; how many.
CREATE OR REPLACE FUNCTION sluice_delete_errors(before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET timezone = 'UTC' AS $function$
DECLARE
    deleted integer;
BEGIN
    IF before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'Errors of the last day are too young to go.';
    END IF;
    DELETE FROM error_logs
    WHERE id = ANY (ARRAY(
        SELECT old.id
        FROM error_logs AS old
        WHERE old.created_at < before AND (old.resolved OR old.severity <> 'critical')
        ORDER BY old.created_at
        LIMIT most
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$function$;

-- Deletes the items of operations that ended before: which rows they were about, and what these were before and after. Who
-- did what, when and why stays. Never of the last 31 days. At most so many; how many it deleted.
CREATE OR REPLACE FUNCTION sluice_delete_items(before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    old bigint := (SELECT o.id
                   FROM operation AS o
                   WHERE coalesce(o.ended_at, o.cancelled_at) < before
                     AND EXISTS (SELECT FROM operation_item AS i WHERE i.operation_id = o.id)
                   ORDER BY o.id
                   LIMIT 1);
    positions bigint[] := ARRAY(SELECT i.position FROM operation_item AS i WHERE i.operation_id = old ORDER BY i.position LIMIT most);
BEGIN
    IF before > now() - interval '31 days' THEN
        RAISE EXCEPTION 'The items of an operation are kept for 31 days at least.';
    END IF;
    DELETE FROM operation_start AS s WHERE s.operation_id = old AND s.position = ANY (positions);
    DELETE FROM operation_item AS i WHERE i.operation_id = old AND i.position = ANY (positions);
    RETURN cardinality(positions);
END
$function$;

-- Deletes webhooks that were over before, with their repeats and deaths; not of disputed payments. Never one of the last 31
-- days, in which Stripe may send it again: its row is what tells a duplicate. What it said of a payment stays. At most so
-- many; how many it deleted.
CREATE OR REPLACE FUNCTION sluice_delete_webhooks(before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET timezone = 'UTC' AS $function$
DECLARE
    gone text[];
BEGIN
    IF before > now() - interval '31 days' THEN
        RAISE EXCEPTION 'A webhook is kept for 31 days at least: so long Stripe may send it again.';
    END IF;
    WITH old AS MATERIALIZED (
        SELECT log.id
        FROM webhook_logs AS log
        WHERE log.created_at < before AND log.processed AND coalesce(log.processed_at, log.created_at) < before
          AND NOT sluice_is_disputed(log.stripe_event_id::text)
        ORDER BY log.created_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ), deleted AS (
        DELETE FROM webhook_logs AS log WHERE log.id IN (SELECT old.id FROM old) RETURNING log.stripe_event_id
    )
    SELECT array_agg(deleted.stripe_event_id::text) INTO gone FROM deleted;
    DELETE FROM webhook_delivery WHERE stripe_event_id = ANY (gone);
    DELETE FROM webhook_death WHERE stripe_event_id = ANY (gone) AND died_at < before;
    RETURN coalesce(cardinality(gone), 0);
END
$function$;

-- Drops a day's partition: 'dropped'; 'needed': bodies in it are (see sluice_keep_bodies); 'missing'. Whoever reads a body
-- of that day is waited for, for three seconds: autovacuum gives way after one (deadlock_timeout). Then whoever writes one of
-- today, for less; what queues behind us waits no longer. A replay that has read a body holds the partition until it
-- commits, and is seen then.
CREATE OR REPLACE FUNCTION sluice_drop_bodies(day date) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    first_id bigint := to_char(day, 'YYYYMMDD')::bigint * 10000000000;
    leaf text := 'webhook_body_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF day >= (now() AT TIME ZONE 'UTC')::date - 1 THEN
        RAISE EXCEPTION 'The bodies of % are too young to go.', day;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice maintain', 0));
    IF to_regclass(leaf) IS NULL THEN
        RETURN 'missing';
    END IF;
    PERFORM set_config('lock_timeout', '3s', true);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', leaf);
    IF EXISTS (SELECT FROM webhook_logs AS log
               WHERE NOT log.processed AND log.body_id >= first_id AND log.body_id < first_id + 10000000000)
       OR EXISTS (SELECT FROM payment
                  JOIN payment_fact AS fact ON fact.scope = payment.scope AND fact.payment_id = payment.payment_id
                  JOIN webhook_logs AS log ON log.stripe_event_id = fact.stripe_event_id
                  WHERE payment.status = 'disputed' AND log.body_id >= first_id AND log.body_id < first_id + 10000000000)
    THEN
        RETURN 'needed';
    END IF;
    -- Its TOAST table is vacuumed by itself, and no LOCK TABLE reaches that; waited for here, it holds up no writer.
    EXECUTE format('TRUNCATE %I', leaf);
    PERFORM set_config('lock_timeout', '300ms', true);
    EXECUTE format('DROP TABLE %I', leaf);
    UPDATE body_storage
    SET kept_from = coalesce((
        SELECT min(substr(c.relname, 14)::bigint) * 10000000000
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'webhook_body'::regclass AND c.relname ~ '^webhook_body_[0-9]{8}$'
    ), first_id + 10000000000);
    RETURN 'dropped';
END
$function$;

-- Ends an operation of which no item is left. Says whether it did.
CREATE OR REPLACE FUNCTION sluice_end_operation(operation_number bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    UPDATE operation
    SET ended_at = now()
    WHERE id = operation_number AND ended_at IS NULL AND cancelled_at IS NULL
      AND NOT EXISTS (SELECT FROM operation_item WHERE operation_id = operation_number AND done_at IS NULL);
    RETURN FOUND;
END
$function$;

-- Ends pauses, with an operation that says who decided and why; the login is PostgreSQL's own. Gives the numbers of those that
-- were in force. Nothing comes to wait for them afterwards: see sluice_pause_webhooks.
CREATE OR REPLACE FUNCTION sluice_end_pauses(pause_ids bigint[], why text, who text) RETURNS SETOF bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    about jsonb;
    decided bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice pauses', 0));
    SELECT jsonb_object_agg(each.kind, each.names) INTO about
    FROM (
        SELECT p.kind, jsonb_agg(coalesce(p.value, 'everything') ORDER BY p.id) AS names
        FROM pause AS p
        WHERE p.id = ANY (pause_ids) AND p.ended_at IS NULL
        GROUP BY p.kind
    ) AS each;
    IF about IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO operation (verb, filter, reason, person, ended_at) VALUES ('resume', about, why, who, now())
    RETURNING id INTO decided;
    RETURN QUERY
    UPDATE pause
    SET ended_at = now(),
        ended_by = decided
    WHERE id = ANY (pause_ids) AND ended_at IS NULL
    RETURNING id;
END
$function$;

-- The key of an events row that a text names, of the real type of events.id; NULL where the text can be no such key. A
-- row's one name is sluice_event_key(text)::text. A key may stand between white space.
--
-- One function for each type that events.id may have; sluice_event_key is the one of the type that it has here.

-- As PostgreSQL itself reads it: capitals, braces, any hyphens between groups of four digits; the usual spelling first.
CREATE OR REPLACE FUNCTION sluice_uuid_key(key text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN key ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' THEN key::uuid
    WHEN btrim(key, E' \t\n\r\f\v')
        ~ '^(\{[0-9A-Fa-f]{4}(-?[0-9A-Fa-f]{4}){7}\}|[0-9A-Fa-f]{4}(-?[0-9A-Fa-f]{4}){7})$'
        THEN btrim(key, E' \t\n\r\f\v')::uuid
END;

-- With a sign and leading zeros.
CREATE OR REPLACE FUNCTION sluice_bigint_key(key text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN btrim(key, E' \t\n\r\f\v') ~ '^[+-]?[0-9]{1,255}$' THEN
    CASE WHEN btrim(key, E' \t\n\r\f\v')::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
        THEN btrim(key, E' \t\n\r\f\v')::bigint END
END;

CREATE OR REPLACE FUNCTION sluice_integer_key(key text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN sluice_bigint_key(key) BETWEEN -2147483648 AND 2147483647 THEN sluice_bigint_key(key)::integer END;

-- As it is written.
CREATE OR REPLACE FUNCTION sluice_text_key(key text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(btrim(key, E' \t\n\r\f\v'), '');

DO $event_key$
DECLARE
    key_type regtype := (SELECT atttypid FROM pg_attribute
                         WHERE attrelid = 'events'::regclass AND attname = 'id' AND NOT attisdropped);
    reader text := CASE WHEN key_type IN ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype)
                        THEN format('sluice_%s_key', key_type) ELSE 'sluice_text_key' END;
BEGIN
    IF EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure(format('%I.sluice_event_key(text)', current_schema()))
                                     AND prorettype <> key_type) THEN
        DROP FUNCTION sluice_event_key(text);  -- the type of events.id was changed
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION sluice_event_key(key text) RETURNS %s LANGUAGE sql IMMUTABLE STRICT '
                   'PARALLEL SAFE RETURN %I(key)', key_type, reader);
END
$event_key$;

-- Gives the ids of the rows that it filled. What somebody holds is left out, for a batch waits for nobody.
CREATE OR REPLACE FUNCTION sluice_fill_webhooks(
    stripe_event_ids text[], webhook_types text[], created bigint[], livemodes boolean[], stripe_account_ids text[],
    api_versions text[], object_ids text[], tenants text[], verified_bys text[], bodies bytea[]
) RETURNS SETOF text
    LANGUAGE sql SECURITY DEFINER AS $function$
    UPDATE webhook_logs AS log
    SET webhook_type = webhook.webhook_type,
        stripe_created_at = to_timestamp(webhook.created),
        livemode = webhook.livemode,
        stripe_account_id = webhook.stripe_account_id,
        api_version = webhook.api_version,
        object_id = webhook.object_id,
        tenant = webhook.tenant,
        verified_by = webhook.verified_by,
        body = webhook.body,
        next_attempt_at = now(),
        published_at = NULL
    FROM unnest(
        stripe_event_ids, webhook_types, created, livemodes, stripe_account_ids, api_versions, object_ids, tenants,
        verified_bys, bodies
    ) AS webhook (
        stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant,
        verified_by, body
    )
    WHERE log.stripe_event_id = webhook.stripe_event_id
        AND webhook.body IS NOT NULL
        AND log.id = ANY (ARRAY(
            SELECT id
            FROM webhook_logs
            WHERE stripe_event_id = ANY (stripe_event_ids) AND body IS NULL AND body_id IS NULL
                AND NOT processed AND dead_at IS NULL
            FOR UPDATE SKIP LOCKED
        ))
    RETURNING log.stripe_event_id
$function$;

-- Takes bodies out of rows that are over and came before, as dropping does with those in partitions; not of disputed
-- payments. At most so many; how many it took.
CREATE OR REPLACE FUNCTION sluice_forget_bodies(before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET timezone = 'UTC' AS $function$
DECLARE
    taken integer;
BEGIN
    IF before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'Bodies of the last day are too young to go.';
    END IF;
    UPDATE webhook_logs AS log
    SET body = NULL
    WHERE log.id = ANY (ARRAY(
        SELECT old.id
        FROM webhook_logs AS old
        WHERE old.body IS NOT NULL AND old.created_at < before AND old.processed
          AND coalesce(old.processed_at, old.created_at) < before AND NOT sluice_is_disputed(old.stripe_event_id::text)
        ORDER BY old.created_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS taken = ROW_COUNT;
    RETURN taken;
END
$function$;

-- Locks the rows that no other transaction holds, until the transaction ends, and gives their ids.
CREATE OR REPLACE FUNCTION sluice_hold_items(of_errors boolean, ids text[]) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    IF of_errors THEN
        RETURN QUERY EXECUTE format(
            'SELECT id::text FROM error_logs WHERE id = ANY ($1::%s[]) FOR UPDATE SKIP LOCKED',
            (SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'error_logs'::regclass AND attname = 'id')
        ) USING ids;
        RETURN;
    END IF;
    RETURN QUERY SELECT stripe_event_id::text FROM webhook_logs WHERE stripe_event_id = ANY (ids) FOR UPDATE SKIP LOCKED;
END
$function$;

-- Whether a webhook says something of a payment that is disputed now; its body may be evidence.
CREATE OR REPLACE FUNCTION sluice_is_disputed(event_id text) RETURNS boolean
    LANGUAGE sql STABLE AS $function$
    SELECT EXISTS (
        SELECT FROM payment_fact AS fact
        JOIN payment ON payment.scope = fact.scope AND payment.payment_id = fact.payment_id
        WHERE fact.stripe_event_id = event_id AND payment.status = 'disputed'
    )
$function$;

-- Moves bodies that are still needed from a day's partition into their rows: of webhooks that are not processed, dead ones
-- among them, and of disputed payments. At most so many; how many it moved. A row that somebody holds is left for the next
-- call.
CREATE OR REPLACE FUNCTION sluice_keep_bodies(day date, most integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    first_id bigint := to_char(day, 'YYYYMMDD')::bigint * 10000000000;
    moved integer;
BEGIN
    PERFORM set_config('lock_timeout', '1s', true);
    WITH needed AS (
        (SELECT log.id
         FROM webhook_logs AS log
         WHERE NOT log.processed AND log.body_id >= first_id AND log.body_id < first_id + 10000000000
         LIMIT most)
        UNION
        (SELECT log.id
         FROM payment
         JOIN payment_fact AS fact ON fact.scope = payment.scope AND fact.payment_id = payment.payment_id
         JOIN webhook_logs AS log ON log.stripe_event_id = fact.stripe_event_id
         WHERE payment.status = 'disputed' AND log.body_id >= first_id AND log.body_id < first_id + 10000000000
         LIMIT most)
    ), held AS MATERIALIZED (
        SELECT log.id, log.body_id FROM webhook_logs AS log WHERE log.id IN (SELECT needed.id FROM needed)
        FOR UPDATE SKIP LOCKED
    )
    UPDATE webhook_logs AS log
    SET body = stored.body,
        body_id = NULL
    FROM held
    JOIN sluice_bodies(ARRAY(SELECT locked.body_id FROM held AS locked)) AS stored ON stored.id = held.body_id
    WHERE log.id = held.id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$function$;

-- Refuses items that come after their operation: a set stays as it was chosen, and nobody adds to another's.
CREATE OR REPLACE FUNCTION sluice_keep_items() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    IF EXISTS (
        SELECT
        FROM (SELECT DISTINCT operation_id FROM added) AS item
        JOIN operation AS o ON o.id = item.operation_id
        WHERE o.started_at <> transaction_timestamp() OR o.login <> session_user
    ) THEN
        RAISE EXCEPTION 'An operation takes its items when it starts, and none later.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$function$;

-- Refuses to change or remove what is on record of an operation, or of a view of a body: a column may be written once.
CREATE OR REPLACE FUNCTION sluice_keep_operation() RETURNS trigger
    LANGUAGE plpgsql AS $function$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NOT EXISTS (
            SELECT
            FROM jsonb_each(to_jsonb(OLD)) AS was
            WHERE was.value <> 'null' AND was.value IS DISTINCT FROM to_jsonb(NEW) -> was.key
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'operation_item' THEN
        -- Retention: see sluice_delete_items. Other roles have no right to delete.
        IF EXISTS (SELECT FROM operation AS o WHERE o.id = OLD.operation_id
                                                AND coalesce(o.ended_at, o.cancelled_at) < now() - interval '31 days') THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: what is on record of an operation stays.', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$function$;

-- Gives up the leases that are finished, and takes another one: at most so many due webhooks that are in nobody's hand
-- and have waited for least_age. Two calls take turns, so no webhook is in two leases that hold; the one that comes
-- second gets no row and asks again. The commit waits for no disk: the lease need not outlive PostgreSQL.
--
-- A webhook that was in a lease which ran out, or has begun to run alone before, is a suspect and must run alone. Few of
-- the former are given at once, so that the one which killed its process meets few of them again.
--
-- Rows are looked for from untried_since and tried_since on, for the index may hold as many dead entries before them as
-- webhooks were processed since the oldest transaction began. untried_from and tried_from say where the first open row
-- is now; NULL: there is none. For the same reason leases that ran out before lookback are left to a call that looks back
-- further. There is always a row; where nothing is due its stripe_event_id is NULL.
CREATE OR REPLACE FUNCTION sluice_lease_webhooks(
    lease text, finished text[], most integer, least_age interval, expires_in interval, spare interval,
    lookback interval, untried_since timestamptz, tried_since timestamptz
) RETURNS TABLE (
    stripe_event_id text, webhook_type text, created bigint, livemode boolean, stripe_account_id text, api_version text,
    object_id text, tenant text, processing_attempts integer, is_suspect boolean, untried_from timestamptz,
    tried_from timestamptz
)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_sort = off AS $function$
#variable_conflict use_column
DECLARE
    held text[];
    orphans text[];
    doubtful text[] := '{}';
    tried text[];
    taken text[];
    first_untried timestamptz;
    first_tried timestamptz;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF cardinality(finished) > 0 THEN
        DELETE FROM processing_lease AS l WHERE l.id = ANY (finished);
    END IF;
    IF most < 1 OR NOT pg_try_advisory_xact_lock(hashtextextended('sluice lease', 0)) THEN
        RETURN;
    END IF;

    held := ARRAY(SELECT e FROM processing_lease AS l, unnest(l.event_ids) AS e
                  WHERE l.expires_at > now() - spare);
    orphans := ARRAY(SELECT e FROM processing_lease AS l, unnest(l.event_ids) AS e
                     WHERE l.expires_at <= now() - spare AND l.expires_at > now() - lookback);
    first_untried := (
        SELECT w.published_at
        FROM webhook_logs AS w
        WHERE NOT w.processed AND w.dead_at IS NULL AND w.next_attempt_at IS NOT NULL AND w.published_at IS NOT NULL
            AND w.published_at >= untried_since
        ORDER BY w.published_at
        LIMIT 1
    );
    first_tried := (
        SELECT w.next_attempt_at
        FROM webhook_logs AS w
        WHERE NOT w.processed AND w.dead_at IS NULL AND w.next_attempt_at IS NOT NULL AND w.published_at IS NULL
            AND w.next_attempt_at >= tried_since AND w.next_attempt_at < 'infinity'  -- where it is paused
        ORDER BY w.next_attempt_at
        LIMIT 1
    );

    IF cardinality(orphans) > 0 THEN
        doubtful := ARRAY(
            SELECT w.stripe_event_id
            FROM webhook_logs AS w
            WHERE w.stripe_event_id = ANY (orphans) AND w.stripe_event_id NOT IN (SELECT unnest(held))
                AND NOT w.processed AND w.dead_at IS NULL
                AND (w.published_at IS NOT NULL OR w.next_attempt_at <= now())
            ORDER BY w.solo_starts
            LIMIT least(most, 20)
            FOR UPDATE SKIP LOCKED
        );
        UPDATE processing_lease AS l
        SET event_ids = ARRAY(
            SELECT e
            FROM unnest(l.event_ids) AS e
            WHERE e <> ALL (doubtful) AND EXISTS (
                SELECT FROM webhook_logs AS w
                WHERE w.stripe_event_id = e AND NOT w.processed AND w.dead_at IS NULL
                    AND (w.published_at IS NOT NULL OR w.next_attempt_at <= now())
            )
        )
        WHERE l.expires_at <= now() - spare AND l.expires_at > now() - lookback;
        DELETE FROM processing_lease AS l
        WHERE l.expires_at <= now() - spare AND l.expires_at > now() - lookback AND l.event_ids = '{}';
    END IF;

    -- A share of what failed and is due, so that neither keeps the other waiting; the rest is what nobody tried yet.
    tried := ARRAY(
        SELECT w.stripe_event_id
        FROM webhook_logs AS w
        WHERE NOT w.processed AND w.dead_at IS NULL AND w.next_attempt_at IS NOT NULL AND w.published_at IS NULL
            AND w.next_attempt_at >= first_tried AND w.next_attempt_at <= now() - least_age
            AND w.stripe_event_id NOT IN (SELECT unnest(held)) AND w.stripe_event_id NOT IN (SELECT unnest(orphans))
        ORDER BY w.next_attempt_at
        LIMIT greatest(1, most / 4)
        FOR UPDATE SKIP LOCKED
    );
    taken := doubtful || tried || ARRAY(
        SELECT w.stripe_event_id
        FROM webhook_logs AS w
        WHERE NOT w.processed AND w.dead_at IS NULL AND w.next_attempt_at IS NOT NULL AND w.published_at IS NOT NULL
            AND w.published_at >= first_untried AND w.published_at <= now() - least_age
            AND w.stripe_event_id NOT IN (SELECT unnest(held)) AND w.stripe_event_id NOT IN (SELECT unnest(orphans))
        ORDER BY w.published_at
        LIMIT greatest(0, most - cardinality(doubtful) - cardinality(tried))
        FOR UPDATE SKIP LOCKED
    );
    IF cardinality(taken) > 0 THEN
        INSERT INTO processing_lease (id, event_ids, expires_at) VALUES (lease, taken, now() + expires_in);
    END IF;

    RETURN QUERY
    SELECT w.stripe_event_id::text, w.webhook_type::text,
           coalesce(extract(epoch FROM w.stripe_created_at), 0)::bigint, w.livemode, w.stripe_account_id::text,
           w.api_version, w.object_id, w.tenant, w.processing_attempts, w.is_suspect, first_untried, first_tried
    FROM (SELECT) AS always
    LEFT JOIN LATERAL (
        SELECT log.*, log.solo_starts > 0 OR log.stripe_event_id = ANY (doubtful) AS is_suspect
        FROM unnest(taken) AS t (stripe_event_id)
        CROSS JOIN LATERAL (
            SELECT l.stripe_event_id, l.webhook_type, l.stripe_created_at, l.livemode, l.stripe_account_id, l.api_version,
                   l.object_id, l.tenant, l.processing_attempts, l.solo_starts
            FROM webhook_logs AS l
            WHERE l.stripe_event_id = t.stripe_event_id
            OFFSET 0
        ) AS log
    ) AS w ON true
    ORDER BY w.is_suspect, w.solo_starts;
END
$function$;

-- Marks error rows as resolved, or as unresolved again, and gives the ids of those that it changed.
CREATE OR REPLACE FUNCTION sluice_mark_errors(ids text[], as_resolved boolean) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    RETURN QUERY EXECUTE format($query$
        UPDATE error_logs
        SET resolved = $2,
            resolved_at = CASE WHEN $2 THEN now() END
        WHERE id = ANY ($1::%s[]) AND resolved IS DISTINCT FROM $2
        RETURNING id::text
    $query$, (SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'error_logs'::regclass AND attname = 'id'))
    USING ids, as_resolved;
END
$function$;

CREATE OR REPLACE FUNCTION sluice_note_death() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    INSERT INTO webhook_death (stripe_event_id, outcome, died_at) VALUES (NEW.stripe_event_id, NEW.outcome, NEW.dead_at);
    RETURN NULL;
END
$function$;

-- Lets open webhooks wait for the end of a pause: each of its own, for the caller knows the pauses and the handlers. No
-- attempt is counted, and what the attempts before said stays. A message that says anything else of its row than the row
-- moves nothing, for it might be covered by a pause that the row is not. Gives the ids that wait now, and with false those
-- whose pause has ended meanwhile: they may run. A row that somebody holds is in neither.
--
-- Who ends a pause takes the same lock for itself, so that nothing comes to wait for it afterwards.
CREATE OR REPLACE FUNCTION sluice_pause_webhooks(
    event_ids text[], attempts integer[], types text[], accounts text[], tenants text[], pause_ids bigint[]
) RETURNS TABLE (stripe_event_id text, is_paused boolean)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    in_force bigint[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('sluice pauses', 0));
    in_force := ARRAY(SELECT p.id FROM pause AS p WHERE p.id = ANY (pause_ids) AND p.ended_at IS NULL);
    RETURN QUERY
    WITH paused AS (
        UPDATE webhook_logs AS w
        SET published_at = NULL,
            next_attempt_at = 'infinity'
        FROM (
            SELECT log.stripe_event_id, message.pause_id
            FROM (
                SELECT m.*
                FROM unnest(event_ids, attempts, types, accounts, tenants, pause_ids)
                    AS m (stripe_event_id, attempt, webhook_type, account, tenant, pause_id)
                WHERE m.pause_id = ANY (in_force)
                ORDER BY m.stripe_event_id
            ) AS message
            CROSS JOIN LATERAL (
                SELECT l.stripe_event_id
                FROM webhook_logs AS l
                WHERE l.stripe_event_id = message.stripe_event_id
                  AND CASE
                        WHEN l.processed IS NOT FALSE OR l.dead_at IS NOT NULL THEN false
                        WHEN l.published_at IS NULL AND coalesce(l.next_attempt_at, 'infinity') > now() THEN false
                        ELSE l.processing_attempts = message.attempt
                             AND (l.webhook_type, l.stripe_account_id, l.tenant)
                                 IS NOT DISTINCT FROM (message.webhook_type, message.account, message.tenant)
                      END
                FOR UPDATE SKIP LOCKED
            ) AS log
        ) AS open
        WHERE w.stripe_event_id = ANY (ARRAY[open.stripe_event_id])
        RETURNING w.stripe_event_id::text, open.pause_id
    ), noted AS (
        INSERT INTO paused_webhook AS h (stripe_event_id, pause_id)
        SELECT DISTINCT ON (paused.stripe_event_id) paused.stripe_event_id, paused.pause_id
        FROM paused
        ORDER BY paused.stripe_event_id
        ON CONFLICT (stripe_event_id) DO UPDATE SET pause_id = excluded.pause_id, paused_at = excluded.paused_at
    )
    SELECT paused.stripe_event_id, true FROM paused
    UNION
    SELECT m.stripe_event_id, false FROM unnest(event_ids, pause_ids) AS m (stripe_event_id, pause_id)
    WHERE m.pause_id <> ALL (in_force);
END
$function$;

-- The scope rule. The planner puts the bodies of both in place of their calls, as long as neither has a SET clause; a
-- test looks at the plans. sluice/payments/scopes.py says the same as the first; a test compares them.

-- The scopes whose payments may touch an events row: its organiser's URL, and its account in either mode.
CREATE OR REPLACE FUNCTION sluice_payment_scopes(events_id text, account text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['tenant:' || events_id,
             'live:' || coalesce(nullif(account, ''), 'platform'),
             'test:' || coalesce(nullif(account, ''), 'platform')];

-- The scopes whose payments a row may show: also the platform's, for a charge of the platform's may pay its account.
CREATE OR REPLACE FUNCTION sluice_shown_scopes(events_id text, account text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['tenant:' || events_id, 'live:platform', 'test:platform',
             'live:' || nullif(account, ''), 'test:' || nullif(account, '')];

-- Brings an event back later, each time a little later, or ends it when it has been postponed for too long. It starts
-- afresh when somebody replays it. No row returned: it is over, or on record already.
CREATE OR REPLACE FUNCTION sluice_postpone_webhook(
    event_id text, attempt integer, reason text, patience_seconds double precision
) RETURNS TABLE (is_first boolean, is_dead boolean, postponed_since timestamptz)
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs AS w
    SET last_error = CASE WHEN before.is_over
            THEN left('given up after ' || date_trunc('second', now() - before.postponed_at) || ', ' || reason, 500)
            ELSE reason
        END,
        outcome = CASE WHEN before.is_over THEN 'failed' ELSE w.outcome END,
        processing_attempts = w.processing_attempts + before.is_over::integer,
        published_at = NULL,
        solo_starts = 0,
        next_attempt_at = now() + (0.85 + 0.3 * random())
            * least(interval '5 minutes', interval '2 seconds' * 2 ^ least(w.publications, 8)),
        postponed_at = CASE WHEN NOT before.is_over THEN coalesce(before.postponed_at, now()) END,
        dead_at = CASE WHEN before.is_over THEN now() END
    FROM (
        SELECT log.id, log.postponed_at,
               coalesce(log.postponed_at <= now() - patience_seconds * interval '1 second', false) AS is_over
        FROM webhook_logs AS log
        WHERE log.stripe_event_id = event_id
          AND log.processing_attempts = attempt
          AND NOT log.processed
          AND log.dead_at IS NULL
          AND coalesce(log.published_at, log.next_attempt_at) < 'infinity'
        FOR UPDATE
    ) AS before
    WHERE w.id = before.id
    RETURNING before.postponed_at IS NULL, before.is_over, coalesce(before.postponed_at, now())
$function$;

-- Makes the partitions of today and of so many days to come, and says for how many days after today there is one. Attaching
-- takes SHARE UPDATE EXCLUSIVE on webhook_body, which hinders no read and no write; who waits for it, waits for a second.
CREATE OR REPLACE FUNCTION sluice_prepare_bodies(days_ahead integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    own_schema name := (SELECT relnamespace::regnamespace::name FROM pg_class WHERE oid = 'webhook_body'::regclass);
    day date := today;
    first_id bigint;
    leaf text;
    visitor text;
BEGIN
    PERFORM set_config('lock_timeout', '1s', true), set_config('client_min_messages', 'warning', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice maintain', 0));
    WHILE day <= today + least(days_ahead, 100) LOOP
        leaf := format('%I.%I', own_schema, 'webhook_body_' || to_char(day, 'YYYYMMDD'));
        first_id := to_char(day, 'YYYYMMDD')::bigint * 10000000000;
        IF to_regclass(leaf) IS NULL THEN
            -- The constraint spares ATTACH its look at the rows, and goes.
            EXECUTE format('CREATE TABLE %s (LIKE webhook_body INCLUDING ALL EXCLUDING IDENTITY, CONSTRAINT of_day CHECK (id >= %s AND id < %s))',
                           leaf, first_id, first_id + 10000000000);
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', leaf);
            FOR visitor IN SELECT 'PUBLIC' UNION ALL
                           SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
            LOOP
                EXECUTE format('REVOKE ALL ON %s FROM %s', leaf, visitor);
            END LOOP;
            EXECUTE format('ALTER TABLE webhook_body ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)',
                           leaf, first_id, first_id + 10000000000);
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT of_day', leaf);
        END IF;
        day := day + 1;
    END LOOP;
    UPDATE body_storage SET partitions_until = day WHERE partitions_until < day;
    RETURN (SELECT partitions_until - today - 1 FROM body_storage);
END
$function$;

-- Puts webhooks into the log that are not there, each body into its own row of webhook_body, or into webhook_logs on a day
-- without a partition. Gives the ids of those that are new; the others are as they were. The arrays come sorted by id, each
-- id once.
--   is_published: whether the caller publishes them itself; else the relay's next sweep does.
--
-- What is in the log already is left out before the INSERT, because ON CONFLICT would wait for a processor that is
-- updating such a row. A body is stored once its row is; CASE keeps that one look-up in a hash table for each.
CREATE OR REPLACE FUNCTION sluice_record_webhooks(
    stripe_event_ids text[], webhook_types text[], created bigint[], livemodes boolean[], stripe_account_ids text[],
    api_versions text[], object_ids text[], tenants text[], verified_bys text[], bodies bytea[], is_published boolean
) RETURNS TABLE (stripe_event_id text)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    first_id bigint := (SELECT to_char(today, 'YYYYMMDD')::bigint * 10000000000 FROM body_storage
                        WHERE today >= partitions_from AND today < partitions_until);  -- NULL: no partition
BEGIN
    RETURN QUERY
    WITH incoming AS MATERIALIZED (
        SELECT webhook.*, first_id + nextval('webhook_body_id_seq') % 10000000000 AS body_id
        FROM unnest(
            stripe_event_ids, webhook_types, created, livemodes, stripe_account_ids, api_versions, object_ids, tenants,
            verified_bys, bodies
        ) AS webhook (
            stripe_event_id, webhook_type, created, livemode, stripe_account_id, api_version, object_id, tenant,
            verified_by, body
        )
        WHERE (SELECT log.id FROM webhook_logs AS log WHERE log.stripe_event_id = webhook.stripe_event_id) IS NULL
    ), recorded AS (
        INSERT INTO webhook_logs AS log (
            stripe_event_id, webhook_type, stripe_created_at, livemode, stripe_account_id, api_version, object_id, tenant,
            verified_by, body, body_id, body_bytes, next_attempt_at, published_at, publications
        )
        SELECT
            incoming.stripe_event_id, incoming.webhook_type, to_timestamp(incoming.created), incoming.livemode,
            incoming.stripe_account_id, incoming.api_version, incoming.object_id, incoming.tenant, incoming.verified_by,
            CASE WHEN incoming.body_id IS NULL THEN incoming.body END, incoming.body_id, octet_length(incoming.body),
            CASE WHEN is_published THEN now() + interval '5 seconds' ELSE now() END,
            CASE WHEN is_published THEN now() END, CASE WHEN is_published THEN 1 ELSE 0 END
        FROM incoming
        ON CONFLICT (stripe_event_id) DO NOTHING
        RETURNING log.stripe_event_id::text, log.body_id
    ), stored AS (
        INSERT INTO webhook_body (id, body)
        SELECT incoming.body_id, incoming.body
        FROM incoming
        WHERE CASE WHEN incoming.body_id IN (SELECT recorded.body_id FROM recorded) THEN true ELSE false END
    )
    SELECT recorded.stripe_event_id FROM recorded;
END
$function$;

-- Makes rows that were written off, and have a body, dead again, each with the outcome that it had.
CREATE OR REPLACE FUNCTION sluice_reopen_webhooks(ids text[], outcomes text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs AS log
    SET processed = false,
        processed_at = NULL,
        outcome = was.outcome
    FROM unnest(ids, outcomes) AS was (stripe_event_id, outcome)
    WHERE log.stripe_event_id = was.stripe_event_id
      AND log.processed IS NOT FALSE AND log.dead_at IS NOT NULL
      AND sluice_body(log.body, log.body_id) IS NOT NULL
    RETURNING log.stripe_event_id
$function$;

-- Makes rows that are over, and have a body, due as if never tried.
CREATE OR REPLACE FUNCTION sluice_replay_ended_webhooks(ids text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs
    SET processed = false,
        processed_at = NULL,
        dead_at = NULL,
        parked_at = NULL,
        postponed_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        published_at = NULL,
        next_attempt_at = now()
    WHERE stripe_event_id = ANY (ids)
      AND processed IS NOT FALSE AND sluice_body(body, body_id) IS NOT NULL
    RETURNING stripe_event_id
$function$;

-- Makes dead rows due as if never tried.
CREATE OR REPLACE FUNCTION sluice_replay_webhooks(ids text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs
    SET dead_at = NULL,
        parked_at = NULL,
        postponed_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        published_at = NULL,
        next_attempt_at = now()
    WHERE stripe_event_id = ANY (ids)
      AND NOT processed AND dead_at IS NOT NULL
    RETURNING stripe_event_id
$function$;

-- Lets webhooks go whose pause has ended: due now, with the attempts that they had. The time for which they waited counts
-- neither against the patience of a parked or a postponed one, nor as a delay. One that another pause in force covers, which
-- the caller knows, waits for that one from now on. Without ids it notes which of the pauses that ended are empty. Gives how
-- many were let go.
CREATE OR REPLACE FUNCTION sluice_resume_webhooks(event_ids text[], other_pauses bigint[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
DECLARE
    let_go bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('sluice pauses', 0));
    IF cardinality(event_ids) = 0 THEN
        UPDATE pause AS p
        SET emptied_at = now()
        WHERE p.ended_at IS NOT NULL AND p.emptied_at IS NULL
          AND NOT EXISTS (SELECT FROM paused_webhook AS h WHERE h.pause_id = p.id);
        RETURN 0;
    END IF;

    UPDATE paused_webhook AS h
    SET pause_id = other.id
    FROM unnest(event_ids, other_pauses) AS m (stripe_event_id, other_pause)
    JOIN pause AS other ON other.id = m.other_pause AND other.ended_at IS NULL
    WHERE h.stripe_event_id = ANY (ARRAY[m.stripe_event_id]);

    WITH gone AS (
        DELETE FROM paused_webhook AS h
        USING unnest(event_ids, other_pauses) AS m (stripe_event_id, other_pause)
        WHERE h.stripe_event_id = ANY (ARRAY[m.stripe_event_id]) AND m.other_pause IS NULL
          AND EXISTS (SELECT FROM pause AS p WHERE p.id = h.pause_id AND p.ended_at IS NOT NULL)
        RETURNING h.stripe_event_id, h.paused_at
    )
    UPDATE webhook_logs AS w
    SET next_attempt_at = now(),
        resumed_at = now(),
        parked_at = w.parked_at + (now() - gone.paused_at),
        postponed_at = w.postponed_at + (now() - gone.paused_at)
    FROM gone
    WHERE w.stripe_event_id = ANY (ARRAY[gone.stripe_event_id])
      AND CASE
            WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL OR w.published_at IS NOT NULL THEN false
            ELSE w.next_attempt_at = 'infinity'
          END;
    GET DIAGNOSTICS let_go = ROW_COUNT;
    RETURN let_go;
END
$function$;

-- Makes waiting rows due now, and leaves those that are paused. Locks nothing that sluice_carry_out has not locked.
CREATE OR REPLACE FUNCTION sluice_retry_webhooks(ids text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs
    SET next_attempt_at = least(next_attempt_at, now())
    WHERE stripe_event_id = ANY (ids)
      AND NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity'
    RETURNING stripe_event_id
$function$;

-- Makes a dead row due as if never tried; its last error stays to be read. What this release does not support would die
-- again at once, and stays dead. A row that somebody holds is not waited for. Says what the row is now: 'revived';
-- 'alive', since another delivery was quicker; or 'held': then the delivery must be refused, so that it comes again.
CREATE OR REPLACE FUNCTION sluice_revive_webhook(event_id text, same_body bytea) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    UPDATE webhook_logs AS log
    SET dead_at = NULL,
        parked_at = NULL,
        outcome = NULL,
        processing_attempts = 0,
        solo_starts = 0,
        postponed_at = NULL,
        published_at = NULL,
        next_attempt_at = now(),
        revivals = log.revivals + 1,
        revived_at = now()
    WHERE log.id = ANY (ARRAY(
        SELECT dead.id
        FROM webhook_logs AS dead
        WHERE dead.stripe_event_id = event_id AND dead.dead_at IS NOT NULL AND NOT dead.processed
          AND dead.outcome IS DISTINCT FROM 'unsupported' AND sluice_body(dead.body, dead.body_id) = same_body
        FOR UPDATE SKIP LOCKED
    ));
    IF FOUND THEN
        RETURN 'revived';
    END IF;
    -- A statement of its own sees what another delivery has committed meanwhile.
    IF EXISTS (SELECT FROM webhook_logs AS log WHERE log.stripe_event_id = event_id AND log.dead_at IS NOT NULL
                                                     AND NOT log.processed) THEN
        RETURN 'held';
    END IF;
    RETURN 'alive';
END
$function$;

-- Each finding with its cure; healthd reads them, and this migration warns of them.
--   role_missing, secret_readable, secret_writable, account_writable, intent_writable, status_writable, table_readable,
--   security_off, index_invalid, bodies_unprepared
CREATE OR REPLACE FUNCTION sluice_schema_findings() RETURNS TABLE (name text, finding text, cure text)
    LANGUAGE sql STABLE AS $function$
    WITH own AS (
        SELECT c.oid, c.relname, c.relacl, c.relrowsecurity, t.name IN ('webhook_logs', 'error_logs') AS may_be_adopted
        FROM unnest(ARRAY['webhook_logs', 'error_logs', 'webhook_delivery', 'payment', 'payment_fact', 'subscription',
                          'invoice', 'sluice_migration', 'sluice_addition', 'queue_watermark', 'processing_lease',
                          'webhook_death', 'health_verdict', 'webhook_load_test', 'reconcile_account', 'reconcile_lease',
                          'webhook_found', 'thin_fetch', 'operation', 'operation_item', 'backfill_walk',
                          'webhook_handler', 'webhook_rehearsal', 'operation_start', 'body_view', 'webhook_body',
                          'body_storage', 'pause', 'paused_webhook']) AS t (name)
        JOIN pg_class c ON c.oid = to_regclass(t.name)
    ), events AS (
        SELECT c.oid, c.relowner, c.relrowsecurity, c.relforcerowsecurity
        FROM pg_class c
        WHERE c.oid = to_regclass('events')
    ), guarded (name, column_name, danger) AS (
        VALUES ('secret_writable', 'webhook_secret', 'and so have its own webhooks believed'),
               ('account_writable', 'stripe_account_id', 'and so have another account''s payments shown'),
               ('intent_writable', 'stripe_payment_intent_id', 'and so claim another row''s payment'),
               ('status_writable', 'payment_status', 'and so call a row paid')
    ), given AS (  -- privileges on events, of the whole table (column_name is NULL) or of one column
        SELECT e.oid, NULL::name AS column_name, acl.grantee, acl.privilege_type
        FROM events e JOIN pg_class c ON c.oid = e.oid,
             aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS acl
        UNION
        SELECT e.oid, a.attname, acl.grantee, acl.privilege_type
        FROM events e JOIN pg_attribute a ON a.attrelid = e.oid AND a.attnum > 0 AND NOT a.attisdropped,
             aclexplode(a.attacl) AS acl
    ), public_role AS (  -- PUBLIC, Supabase's public roles, and the roles whose rights these have
        SELECT 0::oid AS oid, 'PUBLIC' AS label
        UNION
        SELECT held.oid, quote_ident(held.rolname)
        FROM pg_roles visitor JOIN pg_roles held ON pg_has_role(visitor.oid, held.oid, 'USAGE')
        WHERE visitor.rolname IN ('anon', 'authenticated')
    ), open_to AS (  -- what row level security leaves of them: its owner passes it by, others need a policy
        SELECT r.oid, r.label, privilege.type
        FROM events e, public_role r, (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w')) AS privilege (type, command)
        WHERE NOT e.relrowsecurity
           OR (r.oid = e.relowner AND NOT e.relforcerowsecurity)
           OR EXISTS (
              SELECT FROM pg_policy p
              WHERE p.polrelid = e.oid AND p.polpermissive AND p.polcmd::text IN (privilege.command, '*')
                AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM public_role q WHERE q.oid = ANY (p.polroles))))
    ), others (columns, columns_unguarded) AS (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FILTER (WHERE attname <> 'webhook_secret'),
               string_agg(quote_ident(attname), ', ' ORDER BY attnum)
                   FILTER (WHERE attname NOT IN (SELECT column_name FROM guarded))
        FROM pg_attribute WHERE attrelid = to_regclass('events') AND attnum > 0 AND NOT attisdropped
    )
    SELECT 'role_missing', format('The role %s does not exist.', role),
           format('CREATE ROLE %I NOLOGIN; -- then run migrations/sprint1_database_foundation.sql, sprint2_reconcile.sql, sprint3_operations.sql, sprint3_operator_rights.sql, sprint3_pauses.sql, sprint3_rehearsals.sql, sprint3_viewed_bodies.sql, sprint3_webhook_bodies.sql and functions.sql again', role)
    FROM unnest(ARRAY['sluice_ingest', 'sluice_processor', 'sluice_healthd', 'sluice_reconciler', 'sluice_operator',
                      'sluice_maintainer', 'sluice_migrator']) AS role
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
    UNION ALL
    SELECT DISTINCT 'secret_readable', format('%s may read events.webhook_secret, with which webhooks can be forged.', r.label),
           format('REVOKE SELECT ON events FROM %1$s; GRANT SELECT (%2$s) ON events TO %1$s;', r.label, others.columns)
    FROM others, given g JOIN open_to r ON r.oid = g.grantee AND r.type = g.privilege_type
    WHERE g.privilege_type = 'SELECT' AND coalesce(g.column_name, 'webhook_secret') = 'webhook_secret'
    UNION ALL
    -- One cure for all four where the whole table may be written, so that no cure gives back what another took.
    SELECT w.name, format('%s may write events.%s, %s.', w.label, w.column_name, w.danger),
           string_agg(
               CASE WHEN w.is_whole THEN format('REVOKE %1$s ON events FROM %2$s; GRANT %1$s (%3$s) ON events TO %2$s;',
                                                w.privilege_type, w.label, others.columns_unguarded)
                    ELSE format('REVOKE %s (%I) ON events FROM %s;', w.privilege_type, w.column_name, w.label) END,
               ' ' ORDER BY w.privilege_type)
    FROM others, (
        SELECT c.name, c.column_name, c.danger, r.label, g.privilege_type, bool_or(g.column_name IS NULL) AS is_whole
        FROM guarded c
        JOIN given g ON coalesce(g.column_name, c.column_name) = c.column_name AND g.privilege_type IN ('INSERT', 'UPDATE')
        JOIN open_to r ON r.oid = g.grantee AND r.type = g.privilege_type
        WHERE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = g.oid AND a.attname = c.column_name AND NOT a.attisdropped)
        GROUP BY c.name, c.column_name, c.danger, r.label, g.privilege_type
    ) AS w
    GROUP BY w.name, w.label, w.column_name, w.danger
    UNION ALL
    SELECT DISTINCT 'table_readable', format('%s may use %s, which is Sluice''s own.', r.label, own.relname),
           format('REVOKE ALL ON %I FROM %s;', own.relname, r.label)
    FROM own, public_role r, aclexplode(own.relacl) AS acl
    WHERE acl.grantee = r.oid
    UNION ALL
    SELECT 'security_off', format('Row level security of %s is off.', relname),
           format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY;', relname)
    FROM own WHERE NOT relrowsecurity AND NOT may_be_adopted
    UNION ALL
    SELECT 'index_invalid', format('The index %s is unfinished.', i.indexrelid::regclass),
           format('DROP INDEX CONCURRENTLY %s; -- then run sluice migrate', i.indexrelid::regclass)
    FROM pg_index i
    WHERE NOT i.indisvalid AND (i.indrelid IN (SELECT oid FROM own) OR i.indrelid IN (SELECT oid FROM events))
      AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
    UNION ALL
    SELECT 'bodies_unprepared',
           format('Partitions for bodies are ready for %s days only; bodies of later days go into webhook_logs.',
                  greatest(ready.days, 0)),
           'Let `sluice maintain` run hourly.'
    FROM (SELECT partitions_until - (now() AT TIME ZONE 'UTC')::date - 1 AS days
          FROM body_storage WHERE isfinite(partitions_until)) AS ready
    WHERE ready.days < 3
    ORDER BY 1, 2
$function$;

-- The last statement before the commit that makes the effects true. Where a handler ended the transaction that claimed,
-- the effects of others are gone or stand already, and processed = true would be a lie: it raises instead. Gives the
-- delay of each: since its receipt, or since a pause let it go.
CREATE OR REPLACE FUNCTION sluice_settle_batch(event_ids text[], outcomes text[], claimed_in text)
    RETURNS TABLE (stripe_event_id text, delay_seconds double precision)
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $function$
#variable_conflict use_column
BEGIN
    IF pg_current_xact_id_if_assigned()::text IS DISTINCT FROM claimed_in THEN
        RAISE EXCEPTION 'A handler ended the transaction that its event was claimed in.';
    END IF;
    RETURN QUERY
    UPDATE webhook_logs AS w
    SET processed = true,
        processed_at = clock_timestamp(),
        outcome = settled.outcome,
        published_at = NULL,
        solo_starts = 0
    FROM unnest(event_ids, outcomes) AS settled(stripe_event_id, outcome)
    WHERE w.stripe_event_id = ANY (ARRAY[settled.stripe_event_id])
      AND CASE  -- fits no partial index, so that the plan stays at one look-up by key for each row
            WHEN w.processed IS NOT FALSE OR w.dead_at IS NOT NULL THEN false
            ELSE coalesce(w.published_at, w.next_attempt_at) < 'infinity'
          END
    RETURNING w.stripe_event_id::text, extract(epoch FROM clock_timestamp() - greatest(w.created_at, w.resumed_at))::double precision;
END
$function$;

-- Ends a thin event that waits for its fetch: 'fetched', since its fact is in the log; or 'unfetchable', and the reason says
-- why. Whether it still waited.
CREATE OR REPLACE FUNCTION sluice_settle_thin(event_id text, new_outcome text, reason text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
BEGIN
    IF coalesce(new_outcome, '') NOT IN ('fetched', 'unfetchable') THEN
        RAISE EXCEPTION 'A thin event ends as fetched or unfetchable.';
    END IF;
    DELETE FROM thin_fetch AS waiting WHERE waiting.stripe_event_id = event_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE webhook_logs AS log
    SET outcome = new_outcome,
        processed = true,
        processed_at = now(),
        last_error = reason
    WHERE log.stripe_event_id = event_id AND NOT log.processed AND log.dead_at IS NULL AND log.outcome = 'fetching'
      AND coalesce(log.published_at, log.next_attempt_at) IS NULL;
    RETURN FOUND;
END
$function$;

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

-- Tells what an operation keeps of its items: of rows of webhook_logs, or of error_logs, with these ids. The words of `state`
-- are those of sluice/inbox/states.py; a test compares them.
CREATE OR REPLACE FUNCTION sluice_tell_items(of_errors boolean, ids text[]) RETURNS TABLE (item_id text, told jsonb)
    LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    IF of_errors THEN
        RETURN QUERY EXECUTE format($query$
            SELECT id::text, jsonb_build_object('state', CASE WHEN resolved THEN 'resolved' ELSE 'unresolved' END,
                                                'severity', severity)
            FROM error_logs WHERE id = ANY ($1::%s[])
        $query$, (SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'error_logs'::regclass AND attname = 'id'))
        USING ids;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT log.stripe_event_id::text, to_jsonb(log) - 'stripe_event_id'
    FROM (
        SELECT stripe_event_id,
               CASE
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at IS NULL AND outcome IS DISTINCT FROM 'fetching' THEN 'unfilled'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NOT NULL THEN 'published'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity' AND postponed_at IS NULL AND coalesce(outcome, '') NOT IN ('failed', 'parked') THEN 'queued'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity' AND postponed_at IS NULL AND outcome = 'failed' THEN 'failed'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity' AND postponed_at IS NULL AND outcome = 'parked' THEN 'parked'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at < 'infinity' AND postponed_at IS NOT NULL THEN 'postponed'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at = 'infinity' THEN 'paused'
                   WHEN NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at IS NULL AND outcome = 'fetching' THEN 'fetching'
                   WHEN NOT processed AND dead_at IS NOT NULL AND outcome IS DISTINCT FROM 'unsupported' THEN 'dead'
                   WHEN NOT processed AND dead_at IS NOT NULL AND outcome = 'unsupported' THEN 'unsupported'
                   WHEN processed IS NOT FALSE AND dead_at IS NULL AND outcome IS DISTINCT FROM 'unfetchable' THEN 'processed'
                   WHEN processed IS NOT FALSE AND dead_at IS NULL AND outcome = 'unfetchable' THEN 'unfetchable'
                   WHEN processed IS NOT FALSE AND dead_at IS NOT NULL THEN 'written_off'
               END AS state,
               outcome, processing_attempts AS attempts, last_error, next_attempt_at, dead_at, processed_at
        FROM webhook_logs
        WHERE stripe_event_id = ANY (ids)
    ) AS log;
END
$function$;

-- Lets dead rows rest without an effect. dead_at and last_error stay.
CREATE OR REPLACE FUNCTION sluice_write_off_webhooks(ids text[]) RETURNS SETOF text
    LANGUAGE sql VOLATILE AS $function$
    UPDATE webhook_logs
    SET processed = true,
        processed_at = now(),
        outcome = 'written_off'
    WHERE stripe_event_id = ANY (ids)
      AND NOT processed AND dead_at IS NOT NULL
    RETURNING stripe_event_id
$function$;

-- Where each function finds its tables, whose rights it has, and who may call it. A function is listed here by its name.
DO $rights$
DECLARE
    -- Sluice's own schema first, should the user's events be in another.
    own_schema text := quote_ident(current_schema());
    schemas text := (SELECT concat_ws(', ', own_schema, nullif(quote_ident(nspname), own_schema))
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'events'::regclass);
    owner regrole := (SELECT relowner FROM pg_class WHERE oid = 'webhook_logs'::regclass);
    callers jsonb := $${
        "sluice_add_facts": ["sluice_processor"],
        "sluice_begin_pause": ["sluice_operator", "sluice_migrator"],
        "sluice_bigint_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_bodies": ["sluice_ingest", "sluice_processor", "sluice_reconciler", "sluice_operator", "sluice_migrator"],
        "sluice_body": ["sluice_ingest", "sluice_processor", "sluice_reconciler", "sluice_operator", "sluice_migrator"],
        "sluice_body_json": ["sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_cancel_operation": ["sluice_operator"],
        "sluice_carry_out": ["sluice_operator"],
        "sluice_claim_batch": ["sluice_processor"],
        "sluice_connected_accounts": ["sluice_reconciler", "sluice_migrator"],
        "sluice_count_expired": ["sluice_maintainer", "sluice_migrator"],
        "sluice_delete_errors": ["sluice_maintainer", "sluice_migrator"],
        "sluice_delete_items": ["sluice_maintainer", "sluice_migrator"],
        "sluice_delete_webhooks": ["sluice_maintainer", "sluice_migrator"],
        "sluice_drop_bodies": ["sluice_maintainer", "sluice_migrator"],
        "sluice_forget_bodies": ["sluice_maintainer", "sluice_migrator"],
        "sluice_is_disputed": [],
        "sluice_keep_bodies": ["sluice_maintainer", "sluice_migrator"],
        "sluice_count_due": ["sluice_healthd", "sluice_migrator"],
        "sluice_end_operation": ["sluice_operator"],
        "sluice_end_pauses": ["sluice_operator", "sluice_migrator"],
        "sluice_event_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_fill_webhooks": ["sluice_ingest"],
        "sluice_hold_items": [],
        "sluice_integer_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_keep_items": [],
        "sluice_keep_operation": [],
        "sluice_lease_webhooks": ["sluice_processor"],
        "sluice_mark_errors": [],
        "sluice_note_death": [],
        "sluice_pause_webhooks": ["sluice_processor"],
        "sluice_payment_scopes": ["sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_postpone_webhook": ["sluice_processor"],
        "sluice_prepare_bodies": ["sluice_maintainer", "sluice_migrator"],
        "sluice_record_webhooks": ["sluice_ingest", "sluice_reconciler", "sluice_migrator"],
        "sluice_reopen_webhooks": [],
        "sluice_replay_ended_webhooks": ["sluice_processor"],
        "sluice_replay_webhooks": ["sluice_processor"],
        "sluice_resume_webhooks": ["sluice_processor"],
        "sluice_retry_webhooks": ["sluice_processor"],
        "sluice_revive_webhook": ["sluice_ingest"],
        "sluice_schema_findings": ["sluice_healthd", "sluice_operator", "sluice_migrator"],
        "sluice_settle_batch": ["sluice_processor"],
        "sluice_settle_thin": ["sluice_reconciler", "sluice_migrator"],
        "sluice_shown_scopes": ["sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_store_payments": ["sluice_processor"],
        "sluice_tell_items": [],
        "sluice_text_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_uuid_key": ["sluice_ingest", "sluice_processor", "sluice_operator", "sluice_migrator"],
        "sluice_write_off_webhooks": []
    }$$;
    retired text[] := ARRAY['sluice_append_facts', 'sluice_claim_webhooks', 'sluice_settle_webhooks',
                            'sluice_show_payments'];
    item record;
BEGIN
    FOR item IN SELECT oid::regprocedure AS name FROM pg_proc
                WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (retired)
    LOOP
        EXECUTE format('DROP FUNCTION %s', item.name);
    END LOOP;

    FOR item IN SELECT oid::regprocedure AS name, prosecdef, prosqlbody IS NOT NULL AS is_bound FROM pg_proc
                WHERE pronamespace = current_schema()::regnamespace AND callers ? proname::text
    LOOP
        -- A body after RETURN found its names when the function was made.
        IF NOT item.is_bound THEN
            EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %s, pg_temp', item.name,
                           CASE WHEN item.prosecdef THEN own_schema ELSE schemas END);
        END IF;
        -- It has the rights of the table's owner, and so have the table's triggers: nobody else's, should a superuser
        -- run this. Whoever may alter the table has the owner's rights already.
        IF item.prosecdef AND owner <> current_user::regrole THEN
            BEGIN
                EXECUTE format('ALTER FUNCTION %s OWNER TO %s', item.name, owner);
            EXCEPTION WHEN insufficient_privilege THEN NULL;
            END;
        END IF;
    END LOOP;

    FOR item IN
        SELECT format('REVOKE ALL ON FUNCTION %s FROM %s', f.oid::regprocedure, visitor.name) AS command
        FROM pg_proc f, (SELECT 'PUBLIC' UNION ALL
                         SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')) AS visitor (name)
        WHERE f.pronamespace = current_schema()::regnamespace AND callers ? f.proname::text
        UNION ALL
        SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I', f.oid::regprocedure, r.rolname)
        FROM pg_proc f JOIN pg_roles r ON callers -> f.proname::text ? r.rolname::text
        WHERE f.pronamespace = current_schema()::regnamespace
    LOOP
        EXECUTE item.command;
    END LOOP;

    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'webhook_logs'::regclass AND tgname = 'sluice_death') THEN
        CREATE TRIGGER sluice_death AFTER UPDATE OF dead_at ON webhook_logs FOR EACH ROW
            WHEN (NEW.dead_at IS NOT NULL AND NEW.dead_at IS DISTINCT FROM OLD.dead_at)
            EXECUTE FUNCTION sluice_note_death();
    END IF;
    FOR item IN SELECT t AS name FROM unnest(ARRAY['operation', 'operation_item', 'body_view', 'pause']) AS t
                WHERE to_regclass(t) IS NOT NULL
                  AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(t) AND tgname = 'sluice_kept')
    LOOP
        EXECUTE format('CREATE TRIGGER sluice_kept BEFORE UPDATE OR DELETE ON %I FOR EACH ROW '
                       'EXECUTE FUNCTION sluice_keep_operation()', item.name);
        EXECUTE format('CREATE TRIGGER sluice_kept_whole BEFORE TRUNCATE ON %I FOR EACH STATEMENT '
                       'EXECUTE FUNCTION sluice_keep_operation()', item.name);
    END LOOP;
    IF to_regclass('operation_item') IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('operation_item') AND tgname = 'sluice_chosen') THEN
        CREATE TRIGGER sluice_chosen AFTER INSERT ON operation_item REFERENCING NEW TABLE AS added FOR EACH STATEMENT
            EXECUTE FUNCTION sluice_keep_items();
    END IF;

    FOR item IN SELECT * FROM sluice_schema_findings() LOOP
        RAISE WARNING E'%: %\n%', item.name, item.finding, item.cure;
    END LOOP;
END
$rights$;

COMMIT;
