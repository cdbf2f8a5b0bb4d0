-- note_found --
-- $1 stripe_event_ids that were just recorded  $2 how they were found  $3 the thin event whose fact they are, or NULL.
INSERT INTO webhook_found (stripe_event_id, source, asked_by) SELECT id, $2, $3 FROM unnest($1::text[]) AS found (id)
ON CONFLICT DO NOTHING;

-- count_missing --
-- $1 stripe_event_ids. Those that are not in the log.
SELECT wanted.id
FROM unnest($1::text[]) AS wanted (id)
WHERE (SELECT log.id FROM webhook_logs AS log WHERE log.stripe_event_id = wanted.id) IS NULL;
