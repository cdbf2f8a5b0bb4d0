-- end_fetch --
-- $1 stripe_event_id  $2 fetched or unfetchable  $3 why it is unfetchable. Whether it still waited. See
-- migrations/functions/sluice_settle_thin.sql.
SELECT sluice_settle_thin($1, $2, $3) AS has_waited;
