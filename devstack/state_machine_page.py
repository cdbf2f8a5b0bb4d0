"""``make docs`` writes docs/state-machine.md from the states and transitions of ``webhook_logs``."""

from collections.abc import Iterator
from pathlib import Path

from devstack.options import ROOT
from sluice.inbox.states import TRANSITIONS, WAITING, State, Transition, between

PAGE = Path("docs/state-machine.md")

_HEAD = """\
# The states of a webhook

<!-- Written by `make docs` from sluice/inbox/states.py. -->

Each row of `webhook_logs` is in one of these states, told by its columns, and every change of a row is one of the
transitions below. A query is named by its file and its own name in `sluice/inbox/`; an SQL function that writes for it
stands in `sluice/migrations/functions/`.

"""
_WAITING = "waiting"


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD + _diagram(), *_states(), *_transitions(), *_pairs()])


def _diagram() -> str:
    lines = dict.fromkeys(_diagram_arrows())  # in order, each once
    names = ", ".join(map(str, WAITING[:-1])) + f" or {WAITING[-1]}"
    waiting = f"    {_WAITING}: {_WAITING} ({names})"
    return "\n".join(["```mermaid", "stateDiagram-v2", waiting, *_grouped(lines), *_outside(), "```", ""])


def _diagram_arrows() -> Iterator[tuple[str, str, str]]:
    """Source, target and transition, with the states that wait drawn as one."""
    for transition in TRANSITIONS:
        for source, targets in transition.arrows.items():
            for target in sorted(targets, key=list(State).index):
                yield _node(source), _node(target), transition.name


def _grouped(arrows: dict[tuple[str, str, str], None]) -> Iterator[str]:
    names: dict[tuple[str, str], list[str]] = {}
    for source, target, name in arrows:
        names.setdefault((source, target), []).append(name)
    for (source, target), labels in names.items():
        yield f"    {source} --> {target}: {', '.join(labels)}"


def _outside() -> Iterator[str]:
    """Arrows from states that nothing of ours leads to, and to the end from those that nothing leads out of."""
    begun = {target for one in TRANSITIONS for targets in one.arrows.values() for target in targets}
    left = {source for one in TRANSITIONS for source in one.arrows}
    yield from (f"    [*] --> {state}: an earlier application" for state in State if state not in begun)
    yield from (f"    {state} --> [*]" for state in State if state not in left)


def _node(state: State | None) -> str:
    if state is None:
        return "[*]"
    return _WAITING if state in WAITING else str(state)


def _states() -> Iterator[str]:
    yield from ("## States", "", "| state | meaning | columns |", "|---|---|---|")
    for state in State:
        yield f"| `{state}` | {state.meaning} | `{state.condition}` |"
    yield ""


def _transitions() -> Iterator[str]:
    yield from ("## Transitions", "", "| transition | by | what it does | when | query |", "|---|---|---|---|---|")
    for one in TRANSITIONS:
        yield f"| {one.name} | {one.actor} | {one.meaning} | {one.guard or 'always'} | {_written_by(one)} |"
    yield ""


def _written_by(transition: Transition) -> str:
    query = f"`{transition.query}`"
    return f"{query}, by `{transition.function}`" if transition.function else query


def _pairs() -> Iterator[str]:
    yield from ("## Every pair", "", "From the state at the left to the state above; an empty cell: never.", "")
    yield "| | " + " | ".join(f"`{state}`" for state in State) + " |"
    yield "|---" * (len(State) + 1) + "|"
    for source in (None, *State):
        cells = [", ".join(one.name for one in between(source, target)) for target in State]
        yield f"| {'no row' if source is None else f'`{source}`'} | " + " | ".join(cells) + " |"
    yield ""


if __name__ == "__main__":
    (ROOT / PAGE).write_text(page(), encoding="utf-8")
