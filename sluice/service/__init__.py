"""The life of a service, and its command line."""
