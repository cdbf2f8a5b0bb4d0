"""Objects of an account's past, listed at Stripe and recorded as they are now."""
