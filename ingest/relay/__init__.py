"""Rows become messages on the stream: at once, and again until they are processed."""
