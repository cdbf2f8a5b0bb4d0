-- add_accounts --
-- $1 livemode  $2 account of each that is to be listed  $3 seconds. Those that are new are complete from so long ago on.
-- One that was left out for a while is listed from where it was.
INSERT INTO reconcile_account (livemode, account, complete_until)
SELECT livemode, account, now() - $3::float8 * interval '1 second'
FROM unnest($1::boolean[], $2::text[]) AS wanted (livemode, account)
ON CONFLICT (livemode, account) DO UPDATE SET is_listed = true WHERE NOT reconcile_account.is_listed;

-- read_standing --
-- $1 livemode  $2 account.
SELECT extract(epoch FROM complete_until)::bigint AS complete_until, newest_id,
       extract(epoch FROM pass_from)::bigint AS pass_from, extract(epoch FROM pass_until)::bigint AS pass_until,
       pass_cursor, pass_newest_id, pass_listed, pass_missing, pass_refused,
       extract(epoch FROM pass_oldest_missing)::bigint AS pass_oldest_missing
FROM reconcile_account
WHERE livemode = $1 AND account = $2;

-- keep_pass --
-- $1 livemode  $2 account  $3 holder of the lease  $4 from  $5 until  $6 cursor  $7 newest id  $8 listed  $9 missing  $10 refused
-- $11 oldest missing; times in seconds  $12 ids of this page that PostgreSQL refused. A pass goes on behind this page. No row:
-- the lease is another's.
UPDATE reconcile_account
SET pass_from = to_timestamp($4::bigint), pass_until = to_timestamp($5::bigint), pass_cursor = $6, pass_newest_id = $7,
    pass_listed = $8, pass_missing = $9, pass_refused = $10, pass_oldest_missing = to_timestamp($11::bigint),
    open_ids = CASE WHEN cardinality(open_ids) < 1000 THEN open_ids || $12::text[] ELSE open_ids END,
    open_since = coalesce(open_since, CASE WHEN cardinality($12::text[]) > 0 THEN now() END),
    problem = NULL, problem_text = NULL, problem_since = NULL, updated_at = now()
WHERE livemode = $1 AND account = $2
  AND EXISTS (SELECT FROM reconcile_lease WHERE holder = $3 AND until > now())
RETURNING account;

-- end_pass --
-- $1 livemode  $2 account  $3 holder of the lease  $4 until  $5 newest id  $6 filled  $7 refused  $8 ids of the last page that
-- PostgreSQL refused. All that Stripe made before $4 is in the log, what was refused left out; but no further than our clock
-- goes, lest a wrong date on an answer let the next pass begin in the future. What was refused once stays a gap until it is in
-- the log, a thousand of them at most. No row: the lease is another's.
WITH open AS (
    SELECT ARRAY(
        SELECT DISTINCT one.id FROM unnest(kept.open_ids || $8::text[]) AS one (id)
        WHERE NOT EXISTS (SELECT FROM webhook_logs AS log WHERE log.stripe_event_id = one.id)
        LIMIT 1000
    ) AS ids
    FROM reconcile_account AS kept
    WHERE kept.livemode = $1 AND kept.account = $2
)
UPDATE reconcile_account AS ended
SET complete_until = least(to_timestamp($4::bigint), date_trunc('second', now())), newest_id = coalesce($5, ended.newest_id),
    filled = ended.filled + $6::bigint, refused = greatest($7, cardinality(open.ids)), passed_at = now(),
    open_ids = open.ids, open_since = CASE WHEN cardinality(open.ids) > 0 THEN coalesce(ended.open_since, now()) END,
    pass_from = NULL, pass_until = NULL, pass_cursor = NULL, pass_newest_id = NULL, pass_listed = 0, pass_missing = 0,
    pass_refused = 0, pass_oldest_missing = NULL, problem = NULL, problem_text = NULL, problem_since = NULL,
    updated_at = now()
FROM open
WHERE ended.livemode = $1 AND ended.account = $2
  AND EXISTS (SELECT FROM reconcile_lease WHERE holder = $3 AND until > now())
RETURNING extract(epoch FROM ended.complete_until)::bigint AS complete_until, ended.refused,
          extract(epoch FROM ended.open_since)::bigint AS open_since;

-- begin_anew --
-- $1 livemode  $2 account. Where the cursor is gone, the pass begins again where it began.
UPDATE reconcile_account
SET pass_from = NULL, pass_until = NULL, pass_cursor = NULL, pass_newest_id = NULL, pass_listed = 0, pass_missing = 0,
    pass_refused = 0, pass_oldest_missing = NULL
WHERE livemode = $1 AND account = $2;

-- note_problem --
-- $1 livemode  $2 account  $3 its name  $4 in words. Why the newest pass did not get on.
UPDATE reconcile_account
SET problem_since = CASE WHEN problem = $3 THEN problem_since ELSE now() END, problem = $3, problem_text = $4,
    updated_at = now()
WHERE livemode = $1 AND account = $2;

-- leave_out_others --
-- $1 livemode  $2 account of all that are listed. Others of these modes are no gap; of a mode without a key all stay, for they
-- are not known to be complete.
UPDATE reconcile_account AS kept
SET is_listed = false
WHERE kept.is_listed AND kept.livemode = ANY ($1::boolean[])
  AND NOT EXISTS (SELECT FROM unnest($1::boolean[], $2::text[]) AS wanted (livemode, account)
                  WHERE wanted.livemode = kept.livemode AND wanted.account = kept.account);

-- connected_accounts --
SELECT known.account FROM sluice_connected_accounts() AS known (account);

-- newest_trouble --
-- When healthd last saw that webhooks were not taken in; NULL: not in the last hour.
SELECT extract(epoch FROM max(ended_at))::float8 AS ended_at
FROM health_verdict
WHERE ended_at > now() - interval '1 hour' AND status NOT IN ('healthy', 'degraded');
