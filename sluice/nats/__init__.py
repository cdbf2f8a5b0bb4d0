"""NATS JetStream as a service sees it."""
