"""Thin events: what their few fields say. Pure."""

import re
from typing import NamedTuple

from sluice.contract.document import Json, JsonObject

PING = "v2.core.event_destination.ping"
"""Type of what Stripe sends when a destination is pinged; it says nothing else."""
GENERATION_FAILURE = "v2.core.health.event_generation_failure.resolved"
"""Type of what Stripe sends in place of an event that it failed to make; it names the object."""
OF_SECOND_API = "v2."
"""Beginning of the types that come as thin events alone; all others have a snapshot twin."""
_V1 = "v1."
_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_PATH = re.compile(r"/(v1/[a-z_]+|v2/[a-z_]+/[a-z_]+)(/[A-Za-z0-9_]{1,255}){1,6}")


class RelatedObject(NamedTuple):
    """The object that a thin event is about."""

    id: str
    path: str
    """Where Stripe's API gives it: a path of the API and nothing else, so that no key is sent elsewhere."""


def plain_type(event_type: str) -> str:
    """Name the type as handlers know it: ``v1.charge.failed`` is the twin of ``charge.failed``."""
    return event_type.removeprefix(_V1)


def snapshot_event(document: JsonObject) -> str | None:
    """The id of the snapshot twin, where a thin event names it."""
    return _identifier(document.get("snapshot_event"))


def related_object(document: JsonObject) -> RelatedObject | None:
    """The object that it is about, where it names one that can be asked for."""
    about = document.get("related_object")
    if not isinstance(about, dict):
        return None
    name, path = _identifier(about.get("id")), about.get("url")
    if name is None or not isinstance(path, str) or _PATH.fullmatch(path) is None:
        return None
    return RelatedObject(name, path)


def _identifier(value: Json) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None
