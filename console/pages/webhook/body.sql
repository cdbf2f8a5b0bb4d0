-- view_body --
-- $1 stripe_event_id  $2 who views it. The body, and the record of the view; they commit together. No row: there is no body.
WITH found AS MATERIALIZED (
    SELECT stripe_event_id, sluice_body(body, body_id) AS body FROM webhook_logs WHERE stripe_event_id = $1
), viewed AS (
    INSERT INTO body_view (stripe_event_id, person)
    SELECT stripe_event_id, $2
    FROM found
    WHERE body IS NOT NULL
    RETURNING stripe_event_id
)
SELECT found.body FROM found JOIN viewed ON viewed.stripe_event_id = found.stripe_event_id;
