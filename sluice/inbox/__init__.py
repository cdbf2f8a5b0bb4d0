"""The table ``webhook_logs``: what is received, whoever receives it."""
