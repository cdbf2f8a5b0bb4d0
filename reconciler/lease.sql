-- take --
-- $1 who asks  $2 seconds. Takes the lease, or goes on with it; no row: another one holds it.
UPDATE reconcile_lease
SET holder = $1, until = now() + $2::float8 * interval '1 second'
WHERE holder = $1 OR until < now()
RETURNING holder;

-- give_back --
-- $1 who had it. The next one need not wait.
UPDATE reconcile_lease SET until = '-infinity' WHERE holder = $1;
