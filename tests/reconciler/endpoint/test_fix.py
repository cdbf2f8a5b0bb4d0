"""The calls of ``sluice doctor --fix``, made through Stripe's own library: they cure, and take nothing away."""

import stat
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.endpoint.audit import AtStripe, audit
from reconciler.endpoint.findings import Name
from reconciler.endpoint.fix import Call, make, plan, shown
from reconciler.endpoint.listing import list_registrations
from reconciler.endpoint.registration import read_endpoint
from reconciler.endpoint.secret_file import secret_file
from reconciler.failures import RightMissing
from sluice.contract.document import JsonObject
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from tests.reconciler.asking import asking
from tests.reconciler.endpoint.registered import NEEDED, TYPES, destination, endpoint, register
from tests.stripe_world import TEST_KEY, offline_stripe

CURABLE = {Name.MISSING, Name.DISABLED, Name.TYPES_MISSING}


async def cured(*entries: JsonObject) -> tuple[tuple[Call, ...], set[Name]]:
    """The calls that were made, and the curable findings afterwards."""
    world = offline_stripe()
    register(world, *entries)
    async with asking(world) as api:
        calls = plan(NEEDED, (await list_registrations(api)).registrations)
        for call in calls:
            await make(api, call)
        after = (await list_registrations(api)).registrations
    assert plan(NEEDED, after) == (), "a second time there is nothing to do"
    return calls, {one.name for one in audit(NEEDED, AtStripe(after))} & CURABLE


@pytest.mark.parametrize(
    ("entries", "purposes"),
    [
        ((), ["create the endpoint https://pay.example/api/stripe-webhook in test mode"]),
        ((endpoint(),), []),
        ((endpoint(status="disabled"),), ["enable we_1"]),
        ((destination(status="disabled"),), ["enable ed_1"]),
        ((endpoint(types=TYPES - {"charge.failed"}),), ["subscribe we_1 to 1 more type"]),
        (
            (endpoint(types=TYPES - {"charge.failed", "charge.refunded"}, status="disabled"),),
            ["enable we_1 and subscribe we_1 to 2 more types"],
        ),
        ((endpoint(types=frozenset({"*"})),), []),
    ],
)
async def test_what_is_wrong_is_cured_by_the_calls(entries: tuple[JsonObject, ...], purposes: list[str]) -> None:
    """Created, enabled, subscribed; nothing where nothing is wrong."""
    calls, left = await cured(*entries)
    assert [call.purpose for call in calls] == purposes
    assert left == set()


async def test_of_two_that_are_disabled_one_is_enabled() -> None:
    """The newest; both would send everything twice."""
    calls, _ = await cured(endpoint(status="disabled"), endpoint("we_2", status="disabled", created=1_795_000_000))
    assert [call.purpose for call in calls] == ["enable we_2"]


def test_a_call_is_shown_as_it_is_made() -> None:
    """With every parameter."""
    (call,) = plan(NEEDED, ())
    lines = shown(call).splitlines()
    assert lines[0] == "POST /v1/webhook_endpoints"
    assert len(lines) == 1 + len(call.parameters)
    assert "  api_version=2026-10-28.endive" in lines


async def test_a_key_that_may_only_read_names_the_right_that_is_missing() -> None:
    """Nothing is changed."""
    world = OfflineStripe([Key(TEST_KEY, frozenset({"rak_webhook_read"}))])
    async with asking(world) as api:
        with pytest.raises(RightMissing, match="rak_webhook_write"):
            await make(api, plan(NEEDED, ())[0])
    assert world.endpoints[False] == {}


async def test_the_answer_to_a_creation_gives_the_secret() -> None:
    """Stripe shows it this once."""
    async with asking(offline_stripe()) as api:
        assert await make(api, plan(NEEDED, ())[0]) == "whsec_offline000000000000000001"


some_types = st.frozensets(st.sampled_from(sorted(TYPES)), min_size=1)


@given(types=some_types, extra=st.booleans(), is_enabled=st.booleans())
def test_no_call_takes_a_type_away(*, types: frozenset[str], extra: bool, is_enabled: bool) -> None:
    """Whatever was subscribed stays, needed or not."""
    subscribed = types | ({"topup.created"} if extra else set())
    one = read_endpoint(endpoint(types=subscribed, status="enabled" if is_enabled else "disabled"))
    for call in plan(NEEDED, [one]):
        asked = {value for name, value in call.parameters.items() if name.startswith("enabled_events")}
        assert not asked or asked >= subscribed | TYPES


def test_a_secrets_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    """Whatever the umask."""
    path = tmp_path / "secret"
    with secret_file(path) as keep:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        keep("whsec_1")
    assert path.read_text() == "whsec_1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "link"])
def test_no_file_is_overwritten(tmp_path: Path, kind: str) -> None:
    """Nor what a link points at."""
    path, target = tmp_path / "secret", tmp_path / "target"
    path.write_text("mine") if kind == "file" else path.symlink_to(target)
    with pytest.raises(click.ClickException, match="is there already"), secret_file(path):
        pass
    assert not target.exists()


def test_without_a_secret_no_file_stays(tmp_path: Path) -> None:
    """A call that failed leaves nothing behind."""
    path = tmp_path / "secret"
    with pytest.raises(RightMissing), secret_file(path):
        raise RightMissing("rak_webhook_write")
    assert not path.exists()
