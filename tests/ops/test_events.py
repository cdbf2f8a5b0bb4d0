"""``sluice events``: the types that an endpoint must be subscribed to."""

import re
import subprocess

import orjson
import pytest

import processor.handlers
from sluice.contract.event import StripeEvent
from sluice.ops.events import handled_types
from sluice.registry import Registry, Transaction, discover, handles
from tests.ops.cli import cli, cli_json

TYPES = sorted(discover(processor.handlers).types)


async def test_every_type_is_shown_with_its_handlers() -> None:
    """Without a database."""
    shown = await cli("events", DATABASE_URL="postgresql://nowhere.invalid/x", COLUMNS="200")
    assert shown.exit_code == 0, shown.output
    rows = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines()[1:] if "processor." in line)
    assert sorted(rows) == TYPES
    assert rows["invoice.paid"].split() == [
        "processor.payments.ledger.apply_facts",
        "processor.payments.billing.keep_invoices",
    ]


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"]])
async def test_machines_get_what_stripe_calls_enabled_events(arguments: list[str]) -> None:
    """Ready for a call of Stripe's API."""
    told = orjson.loads((await cli("events", *arguments)).stdout)
    assert told["enabled_events"] == TYPES
    assert sorted(told["handlers"]) == TYPES


async def test_the_formats_hold_every_type_once() -> None:
    """One a line, with commas, as Terraform's list."""
    assert (await cli("events", "--format", "list")).stdout.split() == TYPES
    assert (await cli("events", "--format", "stripe")).stdout.strip().split(",") == TYPES
    terraform = (await cli("events", "--format", "terraform")).stdout
    name, _, listed = terraform.partition("=")
    assert (name.strip(), orjson.loads(listed)) == ("enabled_events", TYPES)


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


def test_types_of_other_packages_are_among_them() -> None:
    """Whoever handles a type needs it sent."""
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
