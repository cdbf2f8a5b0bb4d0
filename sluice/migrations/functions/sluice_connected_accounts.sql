-- Connected accounts that payments or events name. The account of an organiser whose webhooks come by a URL and a secret of
-- their own is none. Each step over the payments is a look-up in their key.
CREATE OR REPLACE FUNCTION sluice_connected_accounts() RETURNS SETOF text
    LANGUAGE sql STABLE AS $function$
    WITH RECURSIVE found AS (
        SELECT mode, (SELECT p.scope FROM payment AS p WHERE p.scope >= mode || ':acct_' ORDER BY p.scope LIMIT 1) AS scope
        FROM unnest(ARRAY['live', 'test']) AS mode
        UNION ALL
        SELECT f.mode, (SELECT p.scope FROM payment AS p WHERE p.scope > f.scope ORDER BY p.scope LIMIT 1)
        FROM found AS f
        WHERE f.scope LIKE f.mode || ':acct\_%'
    ), named AS (
        SELECT DISTINCT ON (stripe_account_id) stripe_account_id::text AS account, id::text AS row_id
        FROM events
        WHERE stripe_account_id LIKE 'acct\_%'
    )
    SELECT split_part(scope, ':', 2) FROM found WHERE scope LIKE mode || ':acct\_%'
    UNION
    SELECT account FROM named
    WHERE NOT EXISTS (SELECT FROM payment AS p WHERE p.scope = 'tenant:' || named.row_id)
    LIMIT 10000
$function$;
