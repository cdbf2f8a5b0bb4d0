"""The event types stand once, in the families; each has a fixture, a handler and its place on the page."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import stripe

import processor.handlers
from devstack import event_types_page
from processor.payments.billing import keep_invoices, keep_subscriptions
from processor.payments.ledger import apply_facts
from sluice.contract.envelope import read_event
from sluice.payments import invoice, subscription
from sluice.payments.families import EVENT_TYPES, FAMILIES
from sluice.payments.reading import facts_of
from sluice.registry import discover
from tests.payments.history import FIXTURES

ROOT = Path(__file__).parents[2]
ROOMS = ("sluice", "ingest", "processor", "healthd", "reconciler", "devstack", "bench", "charts", "migrations")
KINDS = {".py", ".sql", ".yaml", ".yml", ".tpl", ".json"}
FAMILY_FILES = {inspect.getsourcefile(family) for family in FAMILIES.values()}  # type: ignore[arg-type]
PLAY_STRIPE = ("sluice/simulator/", "sluice/ops/send/", "bench/webhooks.py")
"""They send what Stripe sends; a type that they leave out is one that no simulated payment needs."""
OF_STRIPE = re.compile(
    r'"((?:charge|checkout\.session|customer\.subscription|invoice|invoice_payment|payment_intent|refund)\.[a-z_.]+)"'
)
PREVIEWS = {name for name, known in EVENT_TYPES.items() if known.is_preview}
A_TYPE = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, EVENT_TYPES)) + r")(?![\w.])")


def sources() -> Iterator[Path]:
    """Every source file but those that may name types."""
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if path.suffix in KINDS):
        if str(path) not in FAMILY_FILES and not str(path.relative_to(ROOT)).startswith(PLAY_STRIPE):
            yield path


def said(path: Path) -> str:
    """Return the code of a file: of Python its strings but the docstrings, of SQL all but the comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sql":
        return re.sub(r"--.*", "", text)
    if path.suffix != ".py":
        return text
    tree = ast.parse(text)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return "\n".join(str(node.value) for node in strings if id(node) not in prose)


def test_the_types_are_those_of_stripes_own_library() -> None:
    """None is missing, none misspelt (the Literal of ``Event.type``); those of a preview it does not know."""
    known = set(OF_STRIPE.findall(inspect.getsource(inspect.getmodule(stripe.Event) or stripe.Event)))
    assert len(known) > 50
    assert EVENT_TYPES.keys() - PREVIEWS == known


def test_no_type_is_of_two_families() -> None:
    """Each stands once."""
    assert len(EVENT_TYPES) == sum(len(family.TYPES) for family in FAMILIES.values())


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_a_type_has_a_fixture_that_its_family_reads(name: str) -> None:
    """The fixture is of that type, and about an object of the family that lists it."""
    event = read_event((FIXTURES / f"{name}.json").read_bytes())
    assert event.type == name
    assert name in FAMILIES[str(event.object["object"])].TYPES
    assert bool(facts_of(event)) == (not EVENT_TYPES[name].effect.startswith("nothing"))


def test_every_fixture_is_of_a_type_that_is_known() -> None:
    """A fixture of an older API version has that version's name behind its type."""
    names = {path.stem for path in FIXTURES.glob("*.json")}
    assert {name for name in names - EVENT_TYPES.keys() if name.rpartition(".")[0] not in EVENT_TYPES} == set()


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_a_type_has_its_handlers(name: str) -> None:
    """The ledger for all, and for invoices and subscriptions the table that keeps their newest state."""
    kept = [keep_invoices] * (name in invoice.TYPES) + [keep_subscriptions] * (name in subscription.TYPES)
    assert discover(processor.handlers).handlers_for(name) == (apply_facts, *kept)


def test_every_type_is_on_the_page_once() -> None:
    """Each has one effect, and all that any account may subscribe to stand in the list."""
    effects = [row.split("|")[1] for row in event_types_page.effect_table().splitlines()[2:]]
    assert sorted(re.findall(r"`([^`]+)`", "".join(effects))) == sorted(EVENT_TYPES)
    listed = re.findall(r"`([^`]+)`", event_types_page.subscription_list())
    assert sorted(listed) == sorted(EVENT_TYPES.keys() - PREVIEWS)


def test_no_second_list_of_types_stands_anywhere() -> None:
    """No source names two types but the families, and what plays Stripe; one may serve as an example."""
    named = {str(path.relative_to(ROOT)): {*A_TYPE.findall(said(path))} for path in sources()}
    assert {path: types for path, types in named.items() if len(types) > 1} == {}
    assert len({*A_TYPE.findall(said(ROOT / "bench" / "webhooks.py"))}) > 1
