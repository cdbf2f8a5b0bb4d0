"""``make docs`` writes the types that an endpoint must be subscribed to into docs/event-types.md, from the handlers."""

from itertools import groupby
from pathlib import Path

from devstack.options import ROOT
from sluice.ops.events import handled_types

PAGE = Path("docs/event-types.md")
BEGIN = "<!-- The types: written by `make docs` from the handlers. -->\n"
END = "<!-- The end of the types. -->\n"
_OWN = "processor."


def block() -> str:
    """What stands between the marks: Sluice's own types, a line for each family."""
    own = [name for name, handlers in handled_types().items() if any(one.startswith(_OWN) for one in handlers)]
    families = groupby(sorted(own, key=_family), key=_family)
    return "".join(f"- {' '.join(f'`{name}`' for name in names)}\n" for _, names in families)


def _family(name: str) -> str:
    return name.rpartition(".")[0]


def with_block(page: str) -> str:
    """The page with the types of today between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{block()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    (ROOT / PAGE).write_text(with_block((ROOT / PAGE).read_text(encoding="utf-8")), encoding="utf-8")
