"""The signature that Stripe puts on a webhook, written independently of the library that Sluice verifies it with."""

import hashlib
import hmac
from collections.abc import Sequence


def sign(body: bytes, secrets: Sequence[str], *, timestamp: int) -> str:
    """
    The ``Stripe-Signature`` header of a body: ``t=…,v1=…``, one ``v1`` for each active secret.

    Args:
        timestamp: whole seconds since the Unix epoch, signed with the body.
    """
    signed = b"%d.%s" % (timestamp, body)
    signatures = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={timestamp}", *signatures])
