-- echoes --
-- $1 ids of pings. Those that came through ingest, by the platform's URL, and that the processor has settled.
SELECT log.stripe_event_id
FROM webhook_logs AS log
WHERE log.stripe_event_id = ANY ($1::text[]) AND log.outcome = 'ping' AND log.tenant IS NULL
  AND starts_with(log.verified_by, 'platform:');
