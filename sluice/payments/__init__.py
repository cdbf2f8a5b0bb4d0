"""
Derive a payment's state from Stripe's events: pure values and pure functions.

``reading`` turns one event into facts, ``binding`` says which ``events`` row a payment belongs to, ``fold`` what its
status is, ``recompute`` does both for many payments and the invoices and subscriptions above them. No function here
depends on the order of its facts, or on how often it is given one.
"""
