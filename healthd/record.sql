-- add_verdicts --
-- $1 healthd  $2 ages of their beginnings in seconds  $3 ages of their ends  $4 statuses  $5 reasons, with commas
-- $6 waits for a connection that timed out  $7 reports that were lost
INSERT INTO health_verdict (healthd, began_at, ended_at, status, reasons, pool_timeouts, errors_lost)
SELECT $1, now() - make_interval(secs => began), now() - make_interval(secs => ended), status,
       string_to_array(reasons, ','), pool_timeouts, errors_lost
FROM unnest($2::float8[], $3::float8[], $4::text[], $5::text[], $6::integer[], $7::integer[])
     AS stretch (began, ended, status, reasons, pool_timeouts, errors_lost);

-- forget_verdicts --
-- $1 days. A bounded number each time: at most one healthd's minutes of a week.
DELETE FROM health_verdict
WHERE id IN (SELECT id FROM health_verdict WHERE ended_at < now() - make_interval(days => $1) ORDER BY ended_at LIMIT 10000);
