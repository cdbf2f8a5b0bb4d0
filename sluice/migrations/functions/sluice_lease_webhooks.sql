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
