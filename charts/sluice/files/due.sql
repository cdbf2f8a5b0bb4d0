-- What the processors have to do now, for KEDA: rows published and not tried, and rows whose next attempt is due.
-- At most 10,000 are counted, each half from a partial index of its own.
SELECT least(10000,
    (SELECT count(*) FROM (
        SELECT FROM webhook_logs
        WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
        LIMIT 10000) AS untried)
  + (SELECT count(*) FROM (
        SELECT FROM webhook_logs
        WHERE NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at <= now()
        LIMIT 10000) AS due))
