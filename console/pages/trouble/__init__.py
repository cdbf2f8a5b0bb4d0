"""Trouble: what is dead, fails or waits, grouped by handler and error."""
