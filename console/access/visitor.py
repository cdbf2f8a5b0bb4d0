"""The person behind a request, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web


class Role(StrEnum):
    """Rights of a person in the console."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who was let in."""

    name: str
    role: Role
    may_act: bool
    """Whether they may change things: an operator, where actions are switched on."""


VISITOR = web.RequestKey("visitor", Visitor)
"""Set by the gate before any page runs."""
