"""Amounts of money as people write them, out of Stripe's smallest units. Pure."""

from typing import Final

_WITHOUT_CENTS: Final = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
_WITH_THOUSANDTHS: Final = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
_UNCERTAIN: Final = frozenset({"UGX"})
"""Whole units for people, and hundredths in some of Stripe's answers: shown as Stripe says it."""
_CODE_LETTERS = 3


def money(amount: int | None, currency: str | None) -> str | None:
    """Write an amount, such as ``1,250.00 EUR``; None: there is none."""
    if amount is None:
        return None
    code = (currency or "").upper()
    if len(code) != _CODE_LETTERS or code in _UNCERTAIN:
        return f"{amount:,} in the smallest unit of {currency or 'an unknown currency'}"
    digits = 0 if code in _WITHOUT_CENTS else 3 if code in _WITH_THOUSANDTHS else 2
    whole, part = divmod(abs(amount), 10**digits)
    cents = f".{part:0{digits}}" if digits else ""
    return f"{'-' if amount < 0 else ''}{whole:,}{cents} {code}"
