-- known --
-- Handlers that a processor had within the last month.
SELECT name, types, organiser_types, acts_outside, first_seen_at, last_seen_at
FROM webhook_handler
WHERE last_seen_at > now() - interval '31 days'
ORDER BY name;

-- earlier --
-- $1 handler. Operations that ran it by itself.
SELECT id FROM operation WHERE handler = $1 ORDER BY id;
