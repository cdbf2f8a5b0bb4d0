"""Accounts and organisers: what arrives from each, by which secrets, and what is missing."""
