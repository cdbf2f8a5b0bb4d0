"""Webhooks: a list by a filter, and the search."""
