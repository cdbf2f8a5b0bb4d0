"""Failures: whose each one is, when to try again, what is dead."""
