"""Stripe's API keys: one of each mode, with a comma, in STRIPE_API_KEY."""

import re
from collections.abc import Mapping, Sequence

KEY_NAME = "STRIPE_API_KEY"
_KEY = re.compile(r"(?:rk|sk)_(live|test)_[A-Za-z0-9_]{3,255}")


def mode_of(key: str) -> bool | None:
    """``livemode`` of a key; None: this is no key of Stripe's."""
    found = _KEY.fullmatch(key)
    return None if found is None else found[1] == "live"


def keys_by_mode(keys: Sequence[str]) -> Mapping[bool, str]:
    """The key of each mode; of two the first."""
    found: dict[bool, str] = {}
    for key in keys:
        mode = mode_of(key)
        if mode is not None:
            found.setdefault(mode, key)
    return found
