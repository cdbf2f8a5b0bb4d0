"""A rehearsal: what a retry or a replay would change."""
