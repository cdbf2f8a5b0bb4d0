-- prepare --
-- $1 days ahead. For how many days after today there is a partition; see sluice_prepare_bodies.
SELECT sluice_prepare_bodies($1);

-- read_days --
-- The partitions of bodies, the oldest first.
SELECT to_date(substr(c.relname, 14), 'YYYYMMDD') AS day
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'webhook_body'::regclass
ORDER BY 1;

-- read_today --
-- PostgreSQL's clock decides what is old.
SELECT (now() AT TIME ZONE 'UTC')::date;

-- keep_bodies --
-- $1 day  $2 at most. Moves what is still needed of a day's bodies into its rows.
SELECT sluice_keep_bodies($1, $2);

-- drop_bodies --
-- $1 day. What became of the partition: dropped, needed, missing.
SELECT sluice_drop_bodies($1);

-- forget_bodies --
-- $1 days  $2 at most. Bodies in rows.
SELECT sluice_forget_bodies(now() - make_interval(days => $1), $2);

-- delete_webhooks --
-- $1 days  $2 at most.
SELECT sluice_delete_webhooks(now() - make_interval(days => $1), $2);

-- delete_errors --
-- $1 days  $2 at most.
SELECT sluice_delete_errors(now() - make_interval(days => $1), $2);

-- delete_items --
-- $1 days  $2 at most.
SELECT sluice_delete_items(now() - make_interval(days => $1), $2);

-- count_expired --
-- Days of $1 bodies  $2 webhooks  $3 errors  $4 items of operations; NULL: those are kept for ever.
SELECT what, found
FROM sluice_count_expired(
    (now() AT TIME ZONE 'UTC')::date - $1::integer,
    now() - make_interval(days => $2::integer),
    now() - make_interval(days => $3::integer),
    now() - make_interval(days => $4::integer)
)
WHERE found > 0;
