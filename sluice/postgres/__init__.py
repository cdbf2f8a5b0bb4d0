"""PostgreSQL as a service sees it: pool, sessions, errors, migrations."""
