# ruff: noqa: S608 - the parts of these queries are constants
"""Read a schema from PostgreSQL's catalog, so that two databases can be compared."""

import asyncpg

Catalog = dict[str, set[str]]

_OURS = "c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')"
_QUERIES = {
    "tables": f"SELECT c.relname, c.relkind, c.relrowsecurity, c.reloptions FROM pg_class c WHERE {_OURS}",
    "columns": f"""
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
               a.attstorage, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE {_OURS} AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": f"""
        SELECT c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid), k.convalidated
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE {_OURS}""",
    "indexes": f"""
        SELECT pg_get_indexdef(i.indexrelid), i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE {_OURS}""",
    "policies": f"""
        SELECT c.relname, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[],
               pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE {_OURS}""",
    "grants": f"""
        SELECT c.relname, acl.grantee::regrole, acl.privilege_type, acl.is_grantable
        FROM pg_class c,
             aclexplode(coalesce(c.relacl,
                                 acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) acl
        WHERE {_OURS}""",
    "column grants": f"""
        SELECT c.relname, a.attname, acl.grantee::regrole, acl.privilege_type
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) acl WHERE {_OURS}""",
    "functions": """
        SELECT pg_get_functiondef(f.oid), acl.grantee::regrole, acl.privilege_type
        FROM pg_proc f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) acl
        WHERE f.pronamespace = 'public'::regnamespace""",
    "schema grants": """
        SELECT acl.grantee::regrole, acl.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) acl
        WHERE n.nspname = 'public'""",
}


async def read_catalog(url: str) -> Catalog:
    """Everything that makes up the schema ``public``, each fact as a line of text."""
    connection = await asyncpg.connect(url)
    try:
        return {
            part: {str(row["line"]) for row in await connection.fetch(f"SELECT q::text AS line FROM ({query}) AS q")}
            for part, query in _QUERIES.items()
        }
    finally:
        await connection.close()


async def read_rows(url: str) -> dict[str, list[str]]:
    """Every row of every table, in text."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(f"SELECT c.relname FROM pg_class c WHERE {_OURS} AND c.relkind = 'r'")
        return {
            row["relname"]: sorted(
                line["t"] for line in await connection.fetch(f"SELECT t::text AS t FROM {row['relname']} t")
            )
            for row in tables
        }
    finally:
        await connection.close()
