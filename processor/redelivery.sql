-- begin --
-- $1 stripe_event_id  $2 attempt  $3 starts that may go unfinished  $4 the error of a process-killer.
-- One more start, or, where too many went unfinished, the end. Skips a row that another processor holds.
WITH mine AS (
    SELECT id, solo_starts >= $3 AS is_killer
    FROM webhook_logs
    WHERE stripe_event_id = $1
      AND processing_attempts = $2
      AND NOT processed
      AND dead_at IS NULL
    FOR UPDATE SKIP LOCKED
)
UPDATE webhook_logs w
SET solo_starts = CASE WHEN mine.is_killer THEN 0 ELSE w.solo_starts + 1 END,
    processing_attempts = w.processing_attempts + mine.is_killer::integer,
    last_error = CASE WHEN mine.is_killer THEN $4 ELSE w.last_error END,
    outcome = CASE WHEN mine.is_killer THEN 'failed' ELSE w.outcome END,
    published_at = CASE WHEN mine.is_killer THEN NULL ELSE w.published_at END,
    dead_at = CASE WHEN mine.is_killer THEN now() END
FROM mine
WHERE w.id = mine.id
RETURNING mine.is_killer;

-- end --
-- $1 stripe_event_ids. These runs ended, though without a result: the process lived, so nobody killed it.
UPDATE webhook_logs SET solo_starts = 0
WHERE stripe_event_id = ANY ($1::text[]) AND solo_starts > 0 AND NOT processed;
