"""The public port: connections, requests, answers."""
