-- look_at_body --
-- $1 stripe_event_id  $2 who looks. The body, and the record of the look; they commit together. No row: there is no body.
WITH looked AS (
    INSERT INTO body_look (stripe_event_id, person)
    SELECT stripe_event_id, $2
    FROM webhook_logs
    WHERE stripe_event_id = $1 AND body IS NOT NULL
    RETURNING stripe_event_id
)
SELECT w.body FROM webhook_logs AS w JOIN looked AS l ON l.stripe_event_id = w.stripe_event_id;
