"""How the tests' template database gets its schema; for tests that start a PostgreSQL of their own."""

from devstack.schema import apply_migrations

__all__ = ["apply_migrations"]
