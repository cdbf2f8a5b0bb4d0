-- take --
-- $1 handlers that this processor has. The next rehearsal, which has begun once more.
UPDATE webhook_rehearsal
SET starts = starts + 1
WHERE id = (
    SELECT id
    FROM webhook_rehearsal
    WHERE done_at IS NULL AND asked_at > now() - interval '10 minutes' AND (handler IS NULL OR handler = ANY ($1::text[]))
    ORDER BY id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, verb, handler, items, person, starts, at_item;

-- note_item --
-- $1 rehearsal  $2 the webhook that runs next.
UPDATE webhook_rehearsal SET at_item = $2 WHERE id = $1;

-- answer --
-- $1 rehearsal  $2 answer  $3 why there is none.
UPDATE webhook_rehearsal
SET done_at = now(),
    answer = $2::text::jsonb,
    problem = $3
WHERE id = $1 AND done_at IS NULL;
