-- What the processors have to do now, for KEDA: rows published and not tried, and rows whose next attempt is due.
-- At most 10,000 are counted, each half from a partial index of its own, from where healthd saw the first open row.
SELECT least(10000,
    (SELECT count(*) FROM (
        SELECT FROM webhook_logs
        WHERE NOT processed AND dead_at IS NULL AND next_attempt_at IS NOT NULL AND published_at IS NOT NULL
          AND published_at >= coalesce((SELECT untried_from FROM queue_watermark), '-infinity')
        ORDER BY published_at
        LIMIT 10000) AS untried)
  + (SELECT count(*) FROM (
        SELECT FROM webhook_logs
        WHERE NOT processed AND dead_at IS NULL AND published_at IS NULL AND next_attempt_at <= now()
          AND next_attempt_at >= coalesce((SELECT due_from FROM queue_watermark), '-infinity')
        ORDER BY next_attempt_at
        LIMIT 10000) AS due))
