"""Errors: the rows of ``error_logs``, by a filter."""
