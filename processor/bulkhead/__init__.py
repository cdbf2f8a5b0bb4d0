"""Keeps what would hold others up apart from them."""
