"""Stripe's API, offline: what the ``stripe`` library asks of it, on a port of the loopback."""
