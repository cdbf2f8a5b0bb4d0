"""Restores that are rehearsed: base backup, WAL archive, a point in time, and what Stripe still has."""
