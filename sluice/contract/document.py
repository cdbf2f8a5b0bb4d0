"""JSON documents as Stripe writes them: fast where possible, lenient where Stripe is."""

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias, cast

import orjson

from sluice.failures import MalformedEvent

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]


def decode_object(body: bytes) -> JsonObject:
    """
    Decode one JSON object.

    orjson refuses lone surrogates, which Stripe may send; the standard library accepts them.

    Raises:
        MalformedEvent: not UTF-8, not JSON, nested too deeply, or not an object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _decode_leniently(body)
    if not isinstance(document, dict):
        raise MalformedEvent("The body is JSON, but not an object.")
    return cast("JsonObject", document)


def _decode_leniently(body: bytes) -> object:
    try:
        return cast("object", json.loads(body.decode(), parse_constant=_refuse_constant))
    except RecursionError as error:
        raise MalformedEvent("The body is nested too deeply.") from error
    except ValueError as error:
        raise MalformedEvent("The body is not JSON in UTF-8.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
