"""Webhooks that wait in PostgreSQL: which are due, who has them in hand, which are left for later."""
