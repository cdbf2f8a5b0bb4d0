"""Ids as Stripe makes them, the same ones for the same seed."""

import random
from types import MappingProxyType

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DEFAULT_SHAPE = ("1", 24)
_SHAPES = MappingProxyType(
    {
        "cs_test": ("a1", 60),
        "cs_live": ("a1", 60),
        "cus": ("", 14),
        "prod": ("", 14),
        "req": ("", 14),
        "si": ("", 14),
        "acct": ("1", 16),
        "pi": ("3", 24),
        "ch": ("3", 24),
        "re": ("3", 24),
        "txn": ("3", 24),
    }
)


class Ids:
    """An endless supply of ids; two supplies of one seed give the same ids in the same order."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def make(self, kind: str) -> str:
        """The next id of a kind, such as ``pi`` or ``evt``."""
        head, length = _SHAPES.get(kind, _DEFAULT_SHAPE)
        return f"{kind}_{head}{self._letters(length - len(head))}"

    def idempotency_key(self) -> str:
        """The next key that a client library puts on its request, a version 4 UUID."""
        digits = f"{self.random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def _letters(self, count: int) -> str:
        return "".join(self.random.choices(_ALPHABET, k=count))
