-- keep_handlers --
-- $1 names  $2 types of each, a line each  $3 those of organisers, too  $4 whether it acts outside. What may be asked for.
INSERT INTO webhook_handler AS h (name, types, organiser_types, acts_outside)
SELECT n.name, string_to_array(n.types, E'\n'), string_to_array(n.organiser_types, E'\n'), n.acts_outside
FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) AS n (name, types, organiser_types, acts_outside)
ORDER BY n.name
ON CONFLICT (name) DO UPDATE
SET types = excluded.types,
    organiser_types = excluded.organiser_types,
    acts_outside = excluded.acts_outside,
    last_seen_at = now();

-- forget --
-- Answers quote rows; after a day they go.
DELETE FROM webhook_rehearsal WHERE asked_at < now() - interval '1 day';

-- look --
-- $1 handlers that this processor has. Whether something is asked for that no pause keeps, and no process
-- works on it.
SELECT
    (
        EXISTS (
            SELECT
            FROM webhook_rehearsal
            WHERE done_at IS NULL AND asked_at > now() - interval '10 minutes' AND (handler IS NULL OR handler = ANY ($1::text[]))
        )
        OR EXISTS (
            SELECT
            FROM operation AS o
            WHERE o.handler = ANY ($1::text[]) AND o.ended_at IS NULL AND o.cancelled_at IS NULL
              AND NOT EXISTS (
                  SELECT
                  FROM pause AS p
                  WHERE p.ended_at IS NULL AND p.emptied_at IS NULL
                    AND (p.kind = 'all' OR (p.kind = 'handler' AND p.value = o.handler))
              )
        )
    )
    AND pg_try_advisory_xact_lock(hashtextextended('sluice operations', 0)) AS is_wanted;
