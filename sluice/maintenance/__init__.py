"""Makes partitions for bodies ahead, and takes webhooks, bodies and errors that are old: ``sluice maintain``."""
