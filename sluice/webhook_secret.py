"""Faults of a webhook secret, and which one it is, told without the secret."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

LEAST_CHARACTERS = 16
MOST_CHARACTERS = 255

_FAULTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile("\ufeff|\ufffe"), "it has a byte order mark, which an editor put before it"),
    (re.compile("[\"'`\u2018-\u201f\u00ab\u00bb]"), "it has quotes, which are no part of a secret"),
    (re.compile(r"\s"), "it has white space inside; commas separate several secrets"),
    (re.compile(r"[^!-~]"), "it has a character that no secret of Stripe's has"),
    (re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE), "it is a URL, and not the secret of the endpoint there"),
    (re.compile(r"(?:sk|rk|pk|ek)_", re.IGNORECASE), "it is an API key, and not the secret of a webhook endpoint"),
    (
        re.compile(r"(?:we|ed|acct|evt)_"),
        "it is an id in Stripe, and not the secret of a webhook endpoint",
    ),
    (re.compile(r"[A-Za-z_]+_?SECRET=", re.IGNORECASE), "it begins with the name of a setting"),
)
_ANYWHERE = 4
"""So many of these are looked for anywhere in the text, the others at its beginning."""


@lru_cache(maxsize=256)
def fingerprint(kind: str, secret: str) -> str:
    """Which secret it is, without the secret: ``platform:1a2b3c4d``."""
    return f"{kind}:{hashlib.sha256(secret.encode()).hexdigest()[:8]}"


def fault_of(secret: str) -> str | None:
    """Why this can be no webhook secret, as a clause; None where it may be one."""
    for place, (pattern, fault) in enumerate(_FAULTS):
        if (pattern.search if place < _ANYWHERE else pattern.match)(secret):
            return fault
    if len(secret) < LEAST_CHARACTERS:
        return f"it has fewer than {LEAST_CHARACTERS} characters, so it can be guessed"
    if len(secret) > MOST_CHARACTERS:
        return f"it has more than {MOST_CHARACTERS} characters"
    return None


def configured_faults(name: str, environment: Mapping[str, str]) -> Sequence[str]:
    """
    Find the faults of the secrets of ``NAME``, or of the file that ``NAME_FILE`` names, each told by its place.

    A file that cannot be read is no fault: it may appear later.
    """
    path = environment.get(f"{name}_FILE")
    secrets = _read(path) if path else environment.get(name, "")
    parts = [part for raw in secrets.split(",") if (part := raw.strip())]
    told = [(place, fault) for place, part in enumerate(parts, 1) if (fault := fault_of(part)) is not None]
    return [fault if len(parts) == 1 else f"of its {len(parts)} secrets the {place}.: {fault}" for place, fault in told]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
