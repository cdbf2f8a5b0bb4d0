-- insert --
-- $1 severities  $2 kinds  $3 messages  $4 stack traces  $5 user ids  $6 ids of events rows  $7 ids of Stripe's events
-- $8 request data  $9 ages in seconds  $10 service
INSERT INTO error_logs (severity, kind, message, stack_trace, user_id, event_id, request_data, service, created_at,
                        stripe_event_id)
SELECT entry.severity, entry.kind, entry.message, entry.stack_trace, entry.user_id, entry.event_id,
       entry.request_data::jsonb, $10, now() - make_interval(secs => entry.age_seconds), entry.stripe_event_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::float8[])
     AS entry (severity, kind, message, stack_trace, user_id, event_id, stripe_event_id, request_data, age_seconds);
