-- View recent webhooks
SELECT * FROM webhook_logs 
ORDER BY created_at DESC 
LIMIT 10;

-- View failed webhooks
SELECT * FROM webhook_logs 
WHERE processed = false 
ORDER BY created_at DESC;

-- View webhook processing attempts
SELECT stripe_event_id, webhook_type, processing_attempts, last_error
FROM webhook_logs
WHERE processing_attempts > 0
ORDER BY created_at DESC;
-- View recent errors
SELECT * FROM error_logs 
ORDER BY created_at DESC 
LIMIT 20;

-- View critical errors
SELECT * FROM error_logs 
WHERE severity = 'critical' 
ORDER BY created_at DESC;

-- View unresolved errors
SELECT * FROM error_logs 
WHERE resolved = false 
ORDER BY created_at DESC;
-- View events by payment status
SELECT id, name, payment_status, last_webhook_received
FROM events
ORDER BY created_at DESC;

-- View events with failed payments
SELECT * FROM events 
WHERE payment_status = 'failed';
