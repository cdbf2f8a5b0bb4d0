"""
Stripe's own judgement of signatures, without the HTTP clients that its library loads for calls that ingest never makes.

The library looks for ``requests`` and ``httpx`` as it is imported, and does without where they are not installed. While
it is imported here they are not to be found: they would be a tenth of ingest's memory.
"""

from sluice.runtime.hidden_modules import HTTP_CLIENTS, not_to_be_found

with not_to_be_found(*HTTP_CLIENTS):
    from stripe import SignatureVerificationError, WebhookSignature

__all__ = ["SignatureVerificationError", "WebhookSignature"]
