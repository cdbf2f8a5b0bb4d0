"""Give and take back a customer's points as charges succeed and are refunded."""

from sluice import Applied, Ignored, Outcome, StripeEvent, Transaction, handles

REMEMBER = """
INSERT INTO loyalty_charge AS known (scope, charge_id, customer_id, amount_captured, amount_refunded)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope, charge_id) DO UPDATE
SET customer_id = coalesce(known.customer_id, excluded.customer_id),
    amount_captured = greatest(known.amount_captured, excluded.amount_captured),
    amount_refunded = greatest(known.amount_refunded, excluded.amount_refunded)
"""


@handles("charge.succeeded", "charge.captured", "charge.refunded")
async def remember_charge(event: StripeEvent, tx: Transaction) -> Outcome:
    """
    Keep the most that Stripe ever said of a charge.

    Both amounts only grow, so ``greatest`` ends in the same row whatever comes first, or twice. The row commits
    together with ``processed = true``; an exception rolls both back, and Sluice tries again later.
    """
    charge = event.object
    if charge.get("customer") is None:
        return Ignored("a guest collects no points")
    await tx.execute(
        REMEMBER,
        event.scope,
        charge["id"],
        charge["customer"],
        charge.get("amount_captured", 0),
        charge.get("amount_refunded", 0),
    )
    return Applied()
