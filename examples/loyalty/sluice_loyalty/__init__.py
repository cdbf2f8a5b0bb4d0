"""One point for each whole unit of currency that a customer paid and did not get back."""
