"""
Stripe's own judgement of signatures, without the HTTP clients that its library loads for calls that ingest never makes.

The library looks for ``requests`` and ``httpx`` as it is imported, and does without where they are not installed. While
it is imported here they are not to be found: they would be a tenth of ingest's memory.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast

_HTTP_CLIENTS = ("requests", "httpx", "anyio")


@contextmanager
def _not_to_be_found(*names: str) -> Iterator[None]:
    """
    Let an import of these fail as if they were not installed, unless they are imported already.

    Source: https://docs.python.org/3/reference/import.html#the-module-cache
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden, cast("ModuleType", None)))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _not_to_be_found(*_HTTP_CLIENTS):
    from stripe import SignatureVerificationError, WebhookSignature

__all__ = ["SignatureVerificationError", "WebhookSignature"]
