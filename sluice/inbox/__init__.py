"""The table ``webhook_logs``: webhooks as they are received."""
