"""Where work comes from: the stream, or PostgreSQL itself; how much of it at once."""
