-- add_load_test --
-- $1 when it ended  $2 connections at once  $3 sent  $4 accepted at the first try  $5 the slowest, in seconds
INSERT INTO webhook_load_test (ended_at, connections, sent, accepted, slowest_seconds) VALUES ($1, $2, $3, $4, $5);
