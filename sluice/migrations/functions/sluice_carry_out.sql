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
