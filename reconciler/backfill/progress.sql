-- read_walk --
-- $1 livemode  $2 account  $3 kind of objects. A walk that did not end, if it is no older than a week.
SELECT
    extract(EPOCH FROM until)::bigint AS until, extract(EPOCH FROM reached)::bigint AS reached, listed, filled, refused
FROM backfill_walk
WHERE livemode = $1 AND account = $2 AND kind = $3 AND ended_at IS NULL AND updated_at > now() - interval '7 days';

-- keep_walk --
-- $1 livemode  $2 account  $3 kind  $4 since  $5 until  $6 reached, in seconds  $7 listed  $8 filled  $9 refused
-- $10 whether it is over. Commits with the rows of the page.
INSERT INTO backfill_walk (
    livemode, account, kind, since, until, reached, listed, filled, refused, ended_at
)
VALUES (
    $1, $2, $3, to_timestamp($4::bigint), to_timestamp($5::bigint), to_timestamp($6::bigint), $7, $8, $9,
    CASE WHEN $10::boolean THEN now() END
)
ON CONFLICT (livemode, account, kind) DO UPDATE
    SET since = excluded.since, until = excluded.until, reached = excluded.reached, listed = excluded.listed,
        filled = excluded.filled, refused = excluded.refused, ended_at = excluded.ended_at, updated_at = now();
