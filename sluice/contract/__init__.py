"""The contract between the services: pure values and their bytes, no I/O and no settings."""
