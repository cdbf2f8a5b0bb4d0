"""Errors as rows of ``error_logs``."""
