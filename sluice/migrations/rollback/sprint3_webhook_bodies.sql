-- Brings bodies back to where the release before reads them. Run it before you go back to that release, while this one runs:
--   psql "$DATABASE_URL" -f migrations/rollback/sprint3_webhook_bodies.sql
-- From then on bodies are written to webhook_logs.body, and those of webhooks that are not processed are moved there. All
-- others stay in webhook_body: the release before needs them for nothing, and this one reads them when you come again. Then
-- run, as the tables' owner:
--   UPDATE body_storage SET partitions_from = (now() AT TIME ZONE 'UTC')::date + 2;
-- Safe to run again.
UPDATE body_storage SET partitions_from = 'infinity';

-- A write that began before this takes two seconds at most.
SELECT pg_sleep(5);

BEGIN;
SET LOCAL lock_timeout = '10s';  -- longer than a processor holds a row
UPDATE webhook_logs AS log
SET body = stored.body,
    body_id = NULL
FROM webhook_body AS stored
WHERE NOT log.processed AND log.body_id IS NOT NULL AND stored.id = log.body_id;
COMMIT;
