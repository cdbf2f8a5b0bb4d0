-- least_complete --
-- $1 at most. The accounts that are furthest behind; one that has left the platform is no gap.
SELECT account, livemode, complete_until, pass_missing + refused AS missing, problem
FROM reconcile_account
WHERE is_listed AND problem IS DISTINCT FROM 'account_closed'
ORDER BY complete_until, account
LIMIT $1;
