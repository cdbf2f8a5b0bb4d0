-- read --
-- $1 rehearsal.
SELECT id, verb, handler, items, found, person, login, asked_at, done_at, starts, answer::text AS answer, problem
FROM webhook_rehearsal
WHERE id = $1;
