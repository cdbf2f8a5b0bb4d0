"""What the services say to one another: pure values and their bytes, no I/O and no settings."""
