-- begin --
-- $1 stripe_event_id  $2 attempt. One more start, and how many that makes which nobody ended. No row returned: it is not
-- this attempt's turn, or another processor holds the row.
WITH mine AS (
    SELECT id
    FROM webhook_logs
    WHERE stripe_event_id = $1
      AND processing_attempts = $2
      AND NOT processed
      AND dead_at IS NULL
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
