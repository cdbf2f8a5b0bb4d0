"""``sluice events``: the types that an endpoint must be subscribed to."""

import re
import subprocess
from urllib.parse import parse_qsl

import orjson
import pytest

import processor.handlers
from sluice.contract.event import StripeEvent
from sluice.ops import events
from sluice.ops.events import handled_types
from sluice.payments.event_type import EventType
from sluice.payments.families import EVENT_TYPES
from sluice.payments.fetched import FETCHED_TYPES
from sluice.registry import Registry, Transaction, discover, handles
from tests.ops.cli import cli, cli_json

OF_STRIPE = discover(processor.handlers).types.difference(FETCHED_TYPES.values())
TYPES = sorted(name for name in OF_STRIPE if not EVENT_TYPES[name].is_preview)


async def test_every_type_is_shown_with_its_handlers_in_80_columns() -> None:
    """Without a database; no name is broken."""
    shown = await cli("events", DATABASE_URL="postgresql://nowhere.invalid/x", COLUMNS="80")
    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.stdout.splitlines())) <= 80
    groups = re.findall(r"((?:^processor\..+\n)+)((?:^  .+\n)+)", shown.stdout, flags=re.MULTILINE)
    assert sorted(name for _, names in groups for name in names.split()) == TYPES
    (of_invoices,) = (handlers for handlers, names in groups if "invoice.paid" in names.split())
    assert [one.rpartition(".")[2] for one in of_invoices.split()] == ["apply_facts", "keep_invoices"]


async def test_the_help_fits_80_columns() -> None:
    """The examples too."""
    shown = await cli("events", "--help", COLUMNS="80")
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"]])
async def test_machines_get_what_stripe_calls_enabled_events(arguments: list[str]) -> None:
    """Ready for a call of Stripe's API."""
    told = orjson.loads((await cli("events", *arguments)).stdout)
    assert told["enabled_events"] == TYPES
    assert sorted(told["handlers"]) == TYPES


async def test_the_formats_hold_every_type_once() -> None:
    """One a line, with commas, as form fields, as Terraform's list."""
    assert (await cli("events", "--format", "list")).stdout.split() == TYPES
    assert (await cli("events", "--format", "stripe")).stdout.strip().split(",") == TYPES
    assert parse_qsl((await cli("events", "--format", "api")).stdout.strip()) == [
        ("enabled_events[]", t) for t in TYPES
    ]
    terraform = (await cli("events", "--format", "terraform")).stdout
    name, _, listed = terraform.partition("=")
    assert (name.strip(), orjson.loads(listed)) == ("enabled_events", TYPES)


@pytest.mark.parametrize("written_as", ["api", "terraform"])
async def test_a_body_in_json_holds_the_types_alone(written_as: str) -> None:
    """Handlers are no parameter of a call."""
    assert orjson.loads((await cli("events", "--format", written_as, "--json")).stdout) == {"enabled_events": TYPES}


async def test_the_call_is_one_that_a_shell_understands() -> None:
    """With the key and the URL from the environment; without a URL it says which."""
    call = (await cli("events", "--format", "curl")).stdout
    arguments = _run(call, STRIPE_SECRET_KEY="sk_test_1", WEBHOOK_URL="https://a.example/api/stripe-webhook")
    assert arguments[:5] == [
        "https://api.stripe.com/v1/webhook_endpoints", "-u", "sk_test_1:", "-d", "url=https://a.example/api/stripe-webhook",
    ]  # fmt: skip
    assert [one.removeprefix("enabled_events[]=") for one in arguments[6::2]] == TYPES
    with pytest.raises(subprocess.CalledProcessError):
        _run(call, STRIPE_SECRET_KEY="sk_test_1")


def _run(call: str, **environment: str) -> list[str]:
    """The arguments that curl gets."""
    shell = f"curl() {{ printf '%s\\n' \"$@\"; }}\n{call}"
    done = subprocess.run(["/bin/sh", "-euc", shell], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


async def test_types_of_a_preview_are_written_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe refuses the whole call of an account that is not in the preview."""
    monkeypatch.setattr(events, "EVENT_TYPES", {**EVENT_TYPES, "charge.failed": EventType("`failed`", is_preview=True)})
    assert (await cli("events", "--format", "list")).stdout.split() == [one for one in TYPES if one != "charge.failed"]
    assert "charge.failed" in (await cli("events", "--format", "list", "--preview")).stdout.split()


def test_types_of_other_packages_are_among_them() -> None:
    """A type that has a handler must be sent."""
    registry = Registry()

    @handles("charge.succeeded", "topup.created", registry=registry)
    async def add_points(event: StripeEvent, tx: Transaction) -> None:
        """Do nothing."""

    (name,) = {*handled_types(registry)["topup.created"]}
    assert list(handled_types(registry)) == ["charge.succeeded", "topup.created"]
    assert re.fullmatch(r"tests\.ops\.test_events\..*add_points", name)


async def test_an_unknown_format_is_a_wrong_call() -> None:
    """The formats are named."""
    result = await cli("events", "--format", "yaml")
    assert result.exit_code == 2
    assert "terraform" in result.output
    assert (await cli_json("events"))["enabled_events"] == TYPES
