"""
API objects in the shape of Stripe's version 2026-10-28.endive.

Each JSON file beside this module is one object with every field that Stripe sends and nothing filled in.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from sluice.contract.document import Json, JsonObject, decode_object

API_VERSION = "2026-10-28.endive"


def shape(name: str, /, **fields: Json) -> JsonObject:
    """
    A new object of one kind with some of its fields filled in; a mapping fills a mapping, anything else replaces.

    Raises:
        KeyError: Stripe's object has no such field.
    """
    return fill(decode_object(_template(name)), fields)


def fill(base: JsonObject, fields: JsonObject) -> JsonObject:
    """
    The same object with some fields changed.

    Raises:
        KeyError: the object has no such field.
    """
    unknown = fields.keys() - base.keys()
    if unknown:
        raise KeyError(*sorted(unknown))
    return _overlaid(base, fields)


def _overlaid(base: JsonObject, fields: JsonObject) -> JsonObject:
    return {**base, **{name: _merged(base.get(name), value) for name, value in fields.items()}}


def _merged(old: Json, new: Json) -> Json:
    return _overlaid(old, new) if isinstance(old, Mapping) and isinstance(new, Mapping) else new


@cache
def _template(name: str) -> bytes:
    return files(__name__).joinpath(f"{name}.json").read_bytes()
