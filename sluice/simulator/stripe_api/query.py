"""The parameters of a list request, read as strictly as Stripe reads them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.simulator.stripe_api.answers import invalid

LIMIT_DEFAULT = 10
LIMIT_MOST = 100
TYPES_MOST = 20
_ARRAY = re.compile(r"types\[\d*\]")
_BOUNDS = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One page of a list, newest first. ``created_from`` and ``created_before`` are whole seconds."""

    limit: int = LIMIT_DEFAULT
    starting_after: str | None = None
    ending_before: str | None = None
    created_from: int | None = None
    """Inclusive."""
    created_before: int | None = None
    """Exclusive."""
    types: tuple[str, ...] = ()

    def takes_type(self, name: str) -> bool:
        """Whether a type is among those asked for; ``charge.*`` asks for all of a family."""
        return not self.types or any(_matches(name, wanted) for wanted in self.types)


def read(query: Mapping[str, str], pairs: Sequence[tuple[str, str]]) -> Wanted:
    """
    Read a query.

    Args:
        pairs: the same with every repetition, for arrays.

    Raises:
        Refusal: as Stripe refuses it.
    """
    starting_after, ending_before = query.get("starting_after"), query.get("ending_before")
    if starting_after and ending_before:
        raise invalid("You may only specify one of these parameters: starting_after, ending_before.", "ending_before")
    created_from, created_before = _created(query)
    return Wanted(
        limit=_limit(query.get("limit")),
        starting_after=starting_after,
        ending_before=ending_before,
        created_from=created_from,
        created_before=created_before,
        types=_types(query, pairs),
    )


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    limit = _whole(text, "limit")
    if not 1 <= limit <= LIMIT_MOST:
        raise invalid(f"This value must be between 1 and {LIMIT_MOST}.", "limit")
    return limit


def _created(query: Mapping[str, str]) -> tuple[int | None, int | None]:
    if (exact := query.get("created")) is not None:
        second = _whole(exact, "created")
        return second, second + 1
    bounds = {name: _whole(query[f"created[{name}]"], "created") for name in _BOUNDS if f"created[{name}]" in query}
    lower = [bounds[name] + (name == "gt") for name in ("gt", "gte") if name in bounds]
    upper = [bounds[name] + (name == "lte") for name in ("lt", "lte") if name in bounds]
    return max(lower, default=None), min(upper, default=None)


def _types(query: Mapping[str, str], pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    many = tuple(value for name, value in pairs if _ARRAY.fullmatch(name))
    if "type" in query and many:
        raise invalid("You may only specify one of these parameters: type, types.", "types")
    if len(many) > TYPES_MOST:
        raise invalid(f"Array must not have more than {TYPES_MOST} elements.", "types")
    return many or ((query["type"],) if "type" in query else ())


def _whole(text: str, param: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise invalid(f"Invalid integer: {text}", param)
    return int(text)


def _matches(name: str, wanted: str) -> bool:
    return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted
