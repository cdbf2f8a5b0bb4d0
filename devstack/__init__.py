"""The one-command stack: embedded PostgreSQL and NATS, the three services, the gateway."""
