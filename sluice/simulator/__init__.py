"""Stripe, offline: it tells lives of payments, signs them, repeats, reorders and retries them as Stripe would."""
