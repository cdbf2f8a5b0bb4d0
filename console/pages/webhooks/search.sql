-- keys_of_event --
-- $1 evt_…  $2 at most. Its keys, through whichever URL it came; see find_webhooks_of_event in sluice/ops/why/why.sql.
SELECT stripe_event_id::text AS stripe_event_id
FROM webhook_logs
WHERE stripe_event_id >= $1 AND stripe_event_id <= greatest($1 || repeat('z', 60), $1 || repeat('~', 60))
  AND (stripe_event_id = $1 OR starts_with(stripe_event_id, $1 || '@') OR starts_with(stripe_event_id, $1 || '~'))
ORDER BY created_at, id
LIMIT $2;
