"""Types of settings, with error messages in the words of a deployment."""

import types
from collections.abc import Iterator
from typing import Literal, Union, get_args, get_origin

from pydantic import Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

_SECRETS = (Secret, SecretBytes, SecretStr)
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_LONGEST = 60


def is_secret(field: FieldInfo) -> bool:
    """Whether the setting's value must not be shown."""
    return any(isinstance(kind, type) and issubclass(kind, _SECRETS) for kind in _kinds(field.annotation))


def accepted(field: FieldInfo) -> str | None:
    """``a whole number, at least 1, at most 1000``; None for a text, which a rule of its own describes."""
    words = next((found for kind in _kinds(field.annotation) if (found := _word(kind)) is not None), None)
    return None if words is None else ", ".join([words, *_bounds(field)])


def shown(given: str) -> str:
    """Quote a given value, shortened."""
    return f"'{given[:_LONGEST]}…'" if len(given) > _LONGEST else repr(given)


def _kinds(annotation: object) -> Iterator[object]:
    """The type itself, or each of a union."""
    if get_origin(annotation) in (Union, types.UnionType):
        for kind in get_args(annotation):
            yield from _kinds(kind)
        return
    yield annotation
    if get_origin(annotation) not in (None, Literal):
        yield get_origin(annotation)


def _word(kind: object) -> str | None:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if kind is bool:
        return "true or false"
    if kind is int:
        return "a whole number"
    return "a number" if kind is float else None


def _bounds(field: FieldInfo) -> Iterator[str]:
    for rule in field.metadata:
        for name, words in _BOUNDS.items():
            bound = getattr(rule, name, None)
            if bound is not None:
                yield f"{words} {bound}"
