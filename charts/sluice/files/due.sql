-- What the processors have to do now, for KEDA: rows published and not tried, and rows whose next attempt is due; at most
-- 10,000 are counted.
SELECT sluice_count_due(10000)
