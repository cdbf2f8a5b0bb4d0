-- begin --
-- $1 stripe_event_id  $2 attempt  $3 webhook_type  $4 stripe_account_id  $5 livemode  $6 api_version  $7 object_id
-- $8 created (Unix seconds)  $9 tenant  $10 body, empty where the message refers to the row's. One more start, and how many
-- that makes which nobody ended. No row returned: it is not this attempt's turn, or not its message, or another processor
-- holds the row.
WITH mine AS (
    SELECT id
    FROM webhook_logs
    WHERE stripe_event_id = $1
      AND processing_attempts = $2
      AND NOT processed
      AND dead_at IS NULL
      AND (published_at IS NOT NULL OR next_attempt_at <= now())
      AND (webhook_type, stripe_account_id, coalesce(livemode, false), api_version, object_id,
           coalesce(extract(epoch FROM stripe_created_at), 0)::bigint, tenant)
          IS NOT DISTINCT FROM
          ($3::text, $4::text, $5::boolean, $6::text, $7::text, $8::bigint, $9::text)
      AND (octet_length($10::bytea) = 0 OR body = $10)
    FOR UPDATE SKIP LOCKED
)
UPDATE webhook_logs w
SET solo_starts = w.solo_starts + 1
FROM mine
WHERE w.id = mine.id
RETURNING w.solo_starts;

-- end --
-- $1 stripe_event_ids. These runs ended, though without a result: the process lived, so nobody killed it.
UPDATE webhook_logs SET solo_starts = 0
WHERE stripe_event_id = ANY ($1::text[]) AND solo_starts > 0 AND NOT processed;

-- begun --
-- $1 stripe_event_ids. Those of which a run alone began that nobody has ended.
SELECT stripe_event_id FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[]) AND solo_starts > 0;
