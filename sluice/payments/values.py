"""Single values out of Stripe's objects: what is missing, or of a shape that Stripe never sends, is None."""

import re

from sluice.contract.document import JsonObject

_ID = re.compile(r"[\x21-\x7e]{1,255}")
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")
_LONGEST_TEXT = 255
_GREATEST_BIGINT = 2**63 - 1
_LATEST_SECOND = 253_402_300_799  # 9999-12-31
_NOTHING: JsonObject = {}


def identifier(api_object: JsonObject, name: str, *prefixes: str) -> str | None:
    """
    The id in a field, which Stripe may have expanded to the whole object.

    Args:
        prefixes: what it must begin with, where a wrong kind of id would do harm.
    """
    value = api_object.get(name)
    if value is None:
        return None
    if isinstance(value, dict):
        value = value.get("id")
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        return None
    return value if not prefixes or value.startswith(prefixes) else None


def text(api_object: JsonObject, name: str) -> str | None:
    """A short text that PostgreSQL can hold: no NUL, no lone surrogate, no more than 255 characters."""
    value = api_object.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
        return None
    return None if _UNSTORABLE.search(value) else value


def whole(api_object: JsonObject, name: str) -> int | None:
    """A whole number that fits a bigint."""
    value = api_object.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_GREATEST_BIGINT <= value <= _GREATEST_BIGINT else None


def let_go(amount: int | None, captured: int | None) -> int | None:
    """Amount of a hold that a partial capture released; None where nothing, or nothing is known."""
    return amount - captured if amount is not None and captured is not None and amount > captured else None


def moment(api_object: JsonObject, name: str) -> int | None:
    """A time, in whole seconds since the Unix epoch."""
    value = whole(api_object, name)
    return value if value is not None and 0 <= value <= _LATEST_SECOND else None


def child(api_object: JsonObject, *path: str) -> JsonObject:
    """The object inside the object; empty where there is none."""
    for name in path:
        value = api_object.get(name)
        if not isinstance(value, dict):
            return _NOTHING
        api_object = value
    return api_object


def children(api_object: JsonObject, name: str) -> tuple[JsonObject, ...]:
    """The objects of one of Stripe's lists (``{"data": […]}``) or of a plain list; empty where there is none."""
    value = api_object.get(name)
    if isinstance(value, dict):
        value = value.get("data")
    return tuple(one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()
