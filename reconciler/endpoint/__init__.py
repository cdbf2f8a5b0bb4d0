"""Our endpoint at Stripe: what is registered there, against what Sluice needs."""
