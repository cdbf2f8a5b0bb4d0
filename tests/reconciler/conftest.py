"""The ledger's harness, for tests that look at what a filled gap means for payments."""

from tests.payments.conftest import connect, harness

__all__ = ["connect", "harness"]
