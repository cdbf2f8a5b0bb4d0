-- begin --
-- $1 kind  $2 value  $3 why  $4 who. NULL: the same is paused already. See migrations/functions/sluice_begin_pause.sql.
SELECT sluice_begin_pause($1, $2, $3, $4);

-- end --
-- $1 pauses  $2 why  $3 who. Those that were in force. See migrations/functions/sluice_end_pauses.sql.
SELECT ended.id FROM sluice_end_pauses($1::bigint[], $2, $3) AS ended (id);

-- open --
-- $1 the most to count of each. Pauses in force, and those that let webhooks go yet, the oldest first.
SELECT p.id, p.kind, p.value, p.began_at, b.person, b.login, b.reason, p.ended_at, e.person AS ended_by, w.waiting
FROM pause AS p
JOIN operation AS b ON b.id = p.began_by
LEFT JOIN operation AS e ON e.id = p.ended_by
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting FROM (SELECT FROM paused_webhook AS h WHERE h.pause_id = p.id LIMIT $1) AS held
) AS w
WHERE p.emptied_at IS NULL
ORDER BY p.id;

-- waits_for --
-- $1 stripe_event_id. The pause that a webhook waits for, and since when.
SELECT h.pause_id, h.paused_at FROM paused_webhook AS h WHERE h.stripe_event_id = $1;
