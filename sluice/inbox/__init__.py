"""``webhook_logs`` as an inbox and a queue: its states, and every statement that writes it."""
