-- accounts --
-- $1 seconds back that a first look begins. Each account that is listed, and until when its thin events are, by Stripe's clock.
SELECT livemode, account,
       extract(epoch FROM coalesce(thin_complete_until, now() - $1::float8 * interval '1 second'))::bigint AS listed_until
FROM reconcile_account
WHERE is_listed AND problem IS DISTINCT FROM 'account_closed'
ORDER BY livemode, account;

-- keep_listed --
-- $1 livemode  $2 account  $3 holder of the lease  $4 until, in seconds. No row: the lease is another's.
UPDATE reconcile_account
SET thin_complete_until = least(to_timestamp($4::bigint), date_trunc('second', now()))
WHERE livemode = $1 AND account = $2
  AND EXISTS (SELECT FROM reconcile_lease WHERE holder = $3 AND until > now());
