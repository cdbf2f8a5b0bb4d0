"""The group commit: webhooks become rows of ``webhook_logs``."""
