"""Fetches work from the stream, or from PostgreSQL while NATS is away."""
