"""Redact what must never be written: secrets, card numbers, and the values that PostgreSQL quotes in its DETAIL."""

import re

from sluice.runtime.printable import UNPRINTABLE

_SECRETS = re.compile(
    r"""
      whsec_[A-Za-z0-9+/=_-]+                      # webhook signing secret
    | \b[sr]k_(?:live|test)_[A-Za-z0-9]+           # secret and restricted keys
    | \b(?:pi|seti|cs)_[A-Za-z0-9_]+_secret_[A-Za-z0-9]+  # client secrets
    | \bv[01]=[0-9a-f]{32,}                        # a signature
    | (?<=[Bb]earer\ )[A-Za-z0-9._~+/=-]{8,}
    """,
    re.VERBOSE,
)
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]{0,20}://[^\s:/@]*):(?:(?!://)\S)+@")
_NAMED_PASSWORD = re.compile(r"(?i)\b(?P<name>password|passwd|secret|token|api_key)(?P<sep>['\"]?\s*[=:]\s*)[^\s,;&]+")
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])")
_DETAIL = re.compile(
    r"^[ \t]*(?:DETAIL|CONTEXT|QUERY):.*(?:\n(?![ \t]*(?:HINT|File|Traceback)\b)[ \t]+.*)*\n?", re.MULTILINE
)
_ARGUMENT = re.compile(r"(?P<head>invalid input for query argument \$\d+: ).*?$", re.MULTILINE)
_QUOTED = re.compile(r"(?P<head>invalid (?:input|byte)[^:\n]*(?:syntax|value|sequence)[^:\n]*: ).*$", re.MULTILINE)
_CONTROL = re.compile(f"[{UNPRINTABLE}]")
# Most of what is logged has nothing of all that in it: one look settles it.
_SUSPECT = re.compile(rf"[:=]|\d[\d -]{{11}}|whsec_|[sr]k_|_secret_|[Bb]earer|[{UNPRINTABLE}]")
HIDDEN = "[redacted]"


def redact(text: str, *, limit: int = 2_000) -> str:
    """The text without secrets, card numbers, control characters and PostgreSQL's DETAIL, cut at ``limit``."""
    if len(text) <= limit and _SUSPECT.search(text) is None:
        return text
    text = text[: limit * 2]
    text = _DETAIL.sub("", text)
    text = _ARGUMENT.sub(rf"\g<head>{HIDDEN}", text)
    text = _QUOTED.sub(rf"\g<head>{HIDDEN}", text)
    text = _SECRETS.sub(HIDDEN, text)
    text = _URL_PASSWORD.sub(rf"\g<head>:{HIDDEN}@", text)
    text = _NAMED_PASSWORD.sub(rf"\g<name>\g<sep>{HIDDEN}", text)
    text = _CARD.sub(_hide_card, text)
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _hide_card(match: re.Match[str]) -> str:
    digits = [int(character) for character in match.group() if character.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return HIDDEN if (sum(digits[-1::-2]) + doubled) % 10 == 0 else match.group()
