-- Each finding with its cure; healthd reads them, and this migration warns of them.
--   role_missing, secret_readable, secret_writable, account_writable, intent_writable, status_writable, table_readable,
--   security_off, index_invalid, bodies_unprepared
CREATE OR REPLACE FUNCTION sluice_schema_findings() RETURNS TABLE (name text, finding text, cure text)
    LANGUAGE sql STABLE AS $function$
    WITH own AS (
        SELECT c.oid, c.relname, c.relacl, c.relrowsecurity, t.name IN ('webhook_logs', 'error_logs') AS may_be_adopted
        FROM unnest(ARRAY['webhook_logs', 'error_logs', 'webhook_delivery', 'payment', 'payment_fact', 'subscription',
                          'invoice', 'sluice_migration', 'sluice_addition', 'queue_watermark', 'processing_lease',
                          'webhook_death', 'health_verdict', 'webhook_load_test', 'reconcile_account', 'reconcile_lease',
                          'webhook_found', 'thin_fetch', 'operation', 'operation_item', 'backfill_walk',
                          'webhook_handler', 'webhook_rehearsal', 'operation_start', 'body_view', 'webhook_body',
                          'body_storage', 'pause', 'paused_webhook']) AS t (name)
        JOIN pg_class c ON c.oid = to_regclass(t.name)
    ), events AS (
        SELECT c.oid, c.relowner, c.relrowsecurity, c.relforcerowsecurity
        FROM pg_class c
        WHERE c.oid = to_regclass('events')
    ), guarded (name, column_name, danger) AS (
        VALUES ('secret_writable', 'webhook_secret', 'and so have its own webhooks believed'),
               ('account_writable', 'stripe_account_id', 'and so have another account''s payments shown'),
               ('intent_writable', 'stripe_payment_intent_id', 'and so claim another row''s payment'),
               ('status_writable', 'payment_status', 'and so call a row paid')
    ), given AS (  -- privileges on events, of the whole table (column_name is NULL) or of one column
        SELECT e.oid, NULL::name AS column_name, acl.grantee, acl.privilege_type
        FROM events e JOIN pg_class c ON c.oid = e.oid,
             aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS acl
        UNION
        SELECT e.oid, a.attname, acl.grantee, acl.privilege_type
        FROM events e JOIN pg_attribute a ON a.attrelid = e.oid AND a.attnum > 0 AND NOT a.attisdropped,
             aclexplode(a.attacl) AS acl
    ), public_role AS (  -- PUBLIC, Supabase's public roles, and the roles whose rights these have
        SELECT 0::oid AS oid, 'PUBLIC' AS label
        UNION
        SELECT held.oid, quote_ident(held.rolname)
        FROM pg_roles visitor JOIN pg_roles held ON pg_has_role(visitor.oid, held.oid, 'USAGE')
        WHERE visitor.rolname IN ('anon', 'authenticated')
    ), open_to AS (  -- what row level security leaves of them: its owner passes it by, others need a policy
        SELECT r.oid, r.label, privilege.type
        FROM events e, public_role r, (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w')) AS privilege (type, command)
        WHERE NOT e.relrowsecurity
           OR (r.oid = e.relowner AND NOT e.relforcerowsecurity)
           OR EXISTS (
              SELECT FROM pg_policy p
              WHERE p.polrelid = e.oid AND p.polpermissive AND p.polcmd::text IN (privilege.command, '*')
                AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM public_role q WHERE q.oid = ANY (p.polroles))))
    ), others (columns, columns_unguarded) AS (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FILTER (WHERE attname <> 'webhook_secret'),
               string_agg(quote_ident(attname), ', ' ORDER BY attnum)
                   FILTER (WHERE attname NOT IN (SELECT column_name FROM guarded))
        FROM pg_attribute WHERE attrelid = to_regclass('events') AND attnum > 0 AND NOT attisdropped
    )
    SELECT 'role_missing', format('The role %s does not exist.', role),
           format('CREATE ROLE %I NOLOGIN; -- then run migrations/sprint1_database_foundation.sql, sprint2_reconcile.sql, sprint3_operations.sql, sprint3_operator_rights.sql, sprint3_pauses.sql, sprint3_rehearsals.sql, sprint3_viewed_bodies.sql, sprint3_webhook_bodies.sql and functions.sql again', role)
    FROM unnest(ARRAY['sluice_ingest', 'sluice_processor', 'sluice_healthd', 'sluice_reconciler', 'sluice_operator',
                      'sluice_maintainer', 'sluice_migrator']) AS role
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
    UNION ALL
    SELECT DISTINCT 'secret_readable', format('%s may read events.webhook_secret, with which webhooks can be forged.', r.label),
           format('REVOKE SELECT ON events FROM %1$s; GRANT SELECT (%2$s) ON events TO %1$s;', r.label, others.columns)
    FROM others, given g JOIN open_to r ON r.oid = g.grantee AND r.type = g.privilege_type
    WHERE g.privilege_type = 'SELECT' AND coalesce(g.column_name, 'webhook_secret') = 'webhook_secret'
    UNION ALL
    -- One cure for all four where the whole table may be written, so that no cure gives back what another took.
    SELECT w.name, format('%s may write events.%s, %s.', w.label, w.column_name, w.danger),
           string_agg(
               CASE WHEN w.is_whole THEN format('REVOKE %1$s ON events FROM %2$s; GRANT %1$s (%3$s) ON events TO %2$s;',
                                                w.privilege_type, w.label, others.columns_unguarded)
                    ELSE format('REVOKE %s (%I) ON events FROM %s;', w.privilege_type, w.column_name, w.label) END,
               ' ' ORDER BY w.privilege_type)
    FROM others, (
        SELECT c.name, c.column_name, c.danger, r.label, g.privilege_type, bool_or(g.column_name IS NULL) AS is_whole
        FROM guarded c
        JOIN given g ON coalesce(g.column_name, c.column_name) = c.column_name AND g.privilege_type IN ('INSERT', 'UPDATE')
        JOIN open_to r ON r.oid = g.grantee AND r.type = g.privilege_type
        WHERE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = g.oid AND a.attname = c.column_name AND NOT a.attisdropped)
        GROUP BY c.name, c.column_name, c.danger, r.label, g.privilege_type
    ) AS w
    GROUP BY w.name, w.label, w.column_name, w.danger
    UNION ALL
    SELECT DISTINCT 'table_readable', format('%s may use %s, which is Sluice''s own.', r.label, own.relname),
           format('REVOKE ALL ON %I FROM %s;', own.relname, r.label)
    FROM own, public_role r, aclexplode(own.relacl) AS acl
    WHERE acl.grantee = r.oid
    UNION ALL
    SELECT 'security_off', format('Row level security of %s is off.', relname),
           format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY;', relname)
    FROM own WHERE NOT relrowsecurity AND NOT may_be_adopted
    UNION ALL
    SELECT 'index_invalid', format('The index %s is unfinished.', i.indexrelid::regclass),
           format('DROP INDEX CONCURRENTLY %s; -- then run sluice migrate', i.indexrelid::regclass)
    FROM pg_index i
    WHERE NOT i.indisvalid AND (i.indrelid IN (SELECT oid FROM own) OR i.indrelid IN (SELECT oid FROM events))
      AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
    UNION ALL
    SELECT 'bodies_unprepared',
           format('Partitions for bodies are ready for %s days only; bodies of later days go into webhook_logs.',
                  greatest(ready.days, 0)),
           'Let `sluice maintain` run hourly.'
    FROM (SELECT partitions_until - (now() AT TIME ZONE 'UTC')::date - 1 AS days
          FROM body_storage WHERE isfinite(partitions_until)) AS ready
    WHERE ready.days < 3
    ORDER BY 1, 2
$function$;
