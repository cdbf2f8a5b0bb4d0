"""The payment ledger in PostgreSQL, and the rows that show it."""
