-- look --
-- $1 functions  $2 columns, each with its table. Whether this server takes writes: not a standby, not the old primary after
-- a failover; and what it lacks.
SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS is_writable,
       ARRAY(
           SELECT name
           FROM unnest($1::text[]) AS name
           WHERE NOT EXISTS (SELECT FROM pg_proc AS f WHERE f.proname = name AND pg_function_is_visible(f.oid))
           UNION ALL
           SELECT name
           FROM unnest($2::text[]) AS name
           WHERE NOT EXISTS (
               SELECT
               FROM pg_attribute AS a
               WHERE a.attrelid = to_regclass(split_part(name, '.', 1)) AND a.attname = split_part(name, '.', 2)
                 AND NOT a.attisdropped
           )
       ) AS missing;
