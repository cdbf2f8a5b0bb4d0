-- What an earlier application left: its own tables, types, ids and rows.
CREATE TABLE events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    title varchar(200) NOT NULL,
    name text NOT NULL,
    payment_status text DEFAULT 'unpaid',
    webhook_secret text,
    created_at timestamp DEFAULT now()
);
CREATE TABLE webhook_logs (
    id serial PRIMARY KEY,
    stripe_event_id varchar(255) UNIQUE NOT NULL,
    webhook_type varchar(100) NOT NULL,
    payload jsonb,
    processed boolean DEFAULT false,
    processing_attempts integer DEFAULT 0,
    last_error text,
    processed_at timestamp,
    created_at timestamp DEFAULT now()
);
CREATE INDEX idx_webhook_logs_created_at ON webhook_logs (created_at);
CREATE TABLE error_logs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    severity varchar(20) NOT NULL DEFAULT 'error' CHECK (severity IN ('error', 'warning', 'critical', 'high', 'info')),
    message text NOT NULL,
    stack_trace text,
    user_id varchar(255),
    event_id varchar(255),
    request_data jsonb,
    resolved boolean DEFAULT false,
    created_at timestamp DEFAULT now()
);
GRANT SELECT ON webhook_logs TO PUBLIC;
GRANT SELECT (message) ON error_logs TO PUBLIC;

INSERT INTO events (title, name, payment_status, webhook_secret)
VALUES ('Gala', 'gala', 'paid', 'whsec_earlier'), ('Fair', 'fair', 'unpaid', NULL);
INSERT INTO webhook_logs (stripe_event_id, webhook_type, payload, processed, processing_attempts, last_error, created_at)
VALUES ('evt_earlier_1', 'checkout.session.completed', '{"a": 1}', true, 1, NULL, '2024-03-01 10:00'),
       ('evt_earlier_2', 'payment_intent.payment_failed', '{"b": 2}', false, 3, 'boom', '2024-03-01 11:00');
INSERT INTO error_logs (severity, message, resolved, created_at)
VALUES ('critical', 'it broke', false, '2024-03-01 10:00'), ('info', 'it works', true, '2024-03-01 11:00');
