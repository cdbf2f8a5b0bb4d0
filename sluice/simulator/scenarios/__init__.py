"""Scenarios of a payment's life, one file for each family; ``steps`` holds the single steps."""
