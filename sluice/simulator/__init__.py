"""Stripe, offline: it plays scenarios, signs their events, repeats, reorders and retries them as Stripe would."""
