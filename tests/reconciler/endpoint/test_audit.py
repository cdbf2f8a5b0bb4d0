"""The audit: each thing that may be wrong with an endpoint is found by its name, and nothing else is."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.endpoint.audit import AtStripe, audit, clock_findings
from reconciler.endpoint.findings import Finding, Name, Weight
from reconciler.endpoint.proofs import Proofs
from reconciler.endpoint.registration import Registration, merged, read_destination, read_endpoint
from sluice.contract.document import JsonObject
from tests.reconciler.endpoint.registered import NEEDED, TYPES, URL, destination, endpoint

Make: TypeAlias = Callable[..., JsonObject]
NEW, OLD = "platform:0a1b2c3d", "platform:ffff0000"
NOW = 1_790_000_000.0
DAY = 86_400.0
PROVEN = Proofs({NEW: NOW}, configured=(NEW,))
LIVE = replace(NEEDED, livemode=True)


def read(*entries: JsonObject) -> list[Registration]:
    """The registrations of entries of either list."""
    found = [read_endpoint(one) if one["object"] == "webhook_endpoint" else read_destination(one) for one in entries]
    return [one for one in found if one is not None]


def found(*entries: JsonObject, proofs: Proofs | None = PROVEN) -> dict[Name, Finding]:
    """Findings by name."""
    return {one.name: one for one in audit(NEEDED, AtStripe(read(*entries)), proofs)}


@pytest.mark.parametrize("entries", [(endpoint(),), (destination(),), (endpoint(), destination())])
def test_nothing_is_found_where_nothing_is_wrong(entries: tuple[JsonObject, ...]) -> None:
    """An endpoint, a thin destination, and both beside each other are all right."""
    assert found(*entries) == {}


def test_a_url_that_is_not_registered_names_what_is_at_this_host() -> None:
    """Without our URL nothing comes; a slip of the pen is shown, others' endpoints are not."""
    near, far = endpoint(url=f"{URL}/"), endpoint("we_2", url="https://other.example/hook")
    (one,) = found(near, far).values()
    assert (one.name, one.weight) == (Name.MISSING, Weight.FAULT)
    assert f"{URL}/" in one.text
    assert "other.example" not in one.text


def test_a_destination_of_another_day_is_no_endpoint_under_another_name() -> None:
    """Only what was created in the same second, at the same URL, is one thing in two lists."""
    (ours,) = read(endpoint())
    (same, other) = read(
        destination(event_payload="snapshot"),
        destination(event_payload="snapshot", created="2026-11-25T10:00:00Z"),
    )
    assert [one.id for one in merged([ours], [same])] == ["we_1"]
    assert [one.id for one in merged([ours], [other])] == ["we_1", "ed_1"]


def test_one_spelling_of_a_url_is_as_good_as_another() -> None:
    """Capital letters in the host and the scheme's own port make no other URL."""
    assert found(endpoint(url=URL.replace("https://pay", "HTTPS://Pay").replace(".example/", ".example:443/"))) == {}


def test_a_disabled_endpoint_is_a_fault() -> None:
    """Stripe's reason is told."""
    because = {"disabled": {"reason": "user"}}
    one = found(destination(status="disabled", status_details=because))[Name.DISABLED]
    assert one.weight is Weight.FAULT
    assert "(user)" in one.text


def test_a_disabled_endpoint_beside_an_enabled_one_is_worth_a_note() -> None:
    """Nothing is lost by it."""
    one = found(endpoint(), endpoint("we_2", status="disabled"))[Name.DISABLED]
    assert one.weight is Weight.NOTE


def test_a_disabled_endpoint_beside_a_thin_destination_is_a_fault() -> None:
    """Each kind of content has a reader of its own."""
    assert found(endpoint(status="disabled"), destination())[Name.DISABLED].weight is Weight.FAULT


def test_two_of_a_kind_are_registered_twice() -> None:
    """Both are named."""
    one = found(endpoint(), endpoint("we_2"))[Name.TWICE]
    assert "we_1 and we_2" in one.text


def test_a_second_endpoint_may_be_that_of_connected_accounts() -> None:
    """Stripe's list does not say which is which; if connected accounts' webhooks come, two are right."""
    connected = replace(PROVEN, has_connected=True)
    two = [endpoint(), endpoint("we_2")]
    assert found(*two, proofs=connected) == {}
    assert Name.TWICE in found(*two, endpoint("we_3"), proofs=connected)


def test_destinations_for_different_accounts_are_not_twice() -> None:
    """Our own account and connected ones need one each."""
    ours, theirs = destination(), destination("ed_2", events_from=["@accounts"])
    assert found(ours, theirs) == {}
    assert Name.TWICE in found(ours, destination("ed_2", events_from=["@self", "@accounts"]))


@pytest.mark.parametrize("make", [endpoint, destination])
def test_missing_and_superfluous_types_are_named(make: Make) -> None:
    """Missing ones are a fault, superfluous ones a note; a thin type counts by its name without the prefix."""
    told = found(make(types=TYPES - {"charge.refunded"} | {"topup.created"}))
    assert (told[Name.TYPES_MISSING].items, told[Name.TYPES_MISSING].weight) == (("charge.refunded",), Weight.FAULT)
    assert (told[Name.TYPES_SUPERFLUOUS].items, told[Name.TYPES_SUPERFLUOUS].weight) == (
        ("topup.created",),
        Weight.NOTE,
    )


@pytest.mark.parametrize(("entry", "words"), [(endpoint, "doctor --fix"), (destination, "Workbench")])
def test_the_cure_for_missing_types_is_one_that_works(entry: Make, words: str) -> None:
    """A thin destination is changed by hand."""
    assert words in found(entry(types=TYPES - {"charge.failed"}))[Name.TYPES_MISSING].cure


def test_every_type_is_no_missing_and_no_superfluous_one() -> None:
    """``*`` is told of by itself."""
    told = found(endpoint(types=frozenset({"*"})))
    assert list(told) == [Name.TYPES_ALL]


def test_two_endpoints_may_share_the_types() -> None:
    """One may get what the other lacks; a disabled one gets nothing."""
    some = frozenset({"charge.refunded", "charge.captured"})
    rest = destination(types=TYPES - some)
    assert Name.TYPES_MISSING not in found(endpoint(types=some), rest)
    assert set(found(endpoint(types=some, status="disabled"), rest)[Name.TYPES_MISSING].items) == some


def test_a_destination_for_connected_accounts_is_judged_by_itself() -> None:
    """Their events come through no other; the finding says whose."""
    told = found(destination(), destination("ed_2", types=TYPES - {"charge.failed"}, events_from=["@accounts"]))
    assert told[Name.TYPES_MISSING].items == ("charge.failed",)
    assert "@accounts" in told[Name.TYPES_MISSING].text


def test_sluices_own_types_are_not_superfluous() -> None:
    """A ping and a failure to make an event have no handler, and are read all the same."""
    own = ["v2.core.event_destination.ping", "v2.core.health.event_generation_failure.resolved"]
    assert found(destination(enabled_events=sorted([*(f"v1.{one}" for one in TYPES), *own]))) == {}


def test_a_type_of_a_preview_is_neither_missing_nor_superfluous() -> None:
    """An account outside of the preview cannot subscribe to it."""
    needed = replace(NEEDED, previews=frozenset({"charge.foreseen"}))
    for entry in (endpoint(), endpoint(types=TYPES | {"charge.foreseen"})):
        assert audit(needed, AtStripe(read(entry)), PROVEN) == ()


@pytest.mark.parametrize(
    ("api_version", "name"),
    [
        ("2026-10-28.endive", None),
        ("2026-11-25.endive", None),
        ("2025-03-31.basil", None),
        ("2017-05-25", None),
        (None, Name.VERSION_FLOATS),
        ("2027-03-31.fescue", Name.VERSION_UNKNOWN),
        ("2026-10-28.preview", Name.VERSION_UNKNOWN),
        ("2026-10-28", Name.VERSION_UNKNOWN),
        ("2026-13-45.endive", Name.VERSION_UNKNOWN),
        ("newest", Name.VERSION_UNKNOWN),
    ],
)
def test_a_version_is_one_that_this_release_knows(api_version: str | None, name: Name | None) -> None:
    """Later versions of a known name add, and change nothing."""
    assert list(found(endpoint(api_version=api_version))) == ([] if name is None else [name])


def test_a_live_endpoint_at_a_development_system_is_a_fault() -> None:
    """Real payments would count as a test."""
    other = read(endpoint("we_live", livemode=True))
    told = {one.name: one for one in audit(NEEDED, AtStripe(read(endpoint()), other), PROVEN)}
    assert told[Name.WRONG_MODE].weight is Weight.FAULT
    assert "we_live" in told[Name.WRONG_MODE].text


def test_a_test_endpoint_at_production_is_worth_a_note() -> None:
    """Its events are ignored."""
    stripe = AtStripe(read(endpoint(livemode=True)), read(endpoint("we_test")))
    assert {one.name: one.weight for one in audit(LIVE, stripe, PROVEN)} == {Name.WRONG_MODE: Weight.NOTE}


def test_a_secret_that_verified_nothing_is_told_of() -> None:
    """A wrong one would refuse every webhook."""
    told = found(endpoint(), proofs=Proofs({}, configured=(NEW,)))
    assert NEW in told[Name.SECRET_UNPROVEN].text


def test_no_secret_at_all_is_a_fault() -> None:
    """Ingest answers 503 then."""
    assert found(endpoint(), proofs=Proofs({}, configured=()))[Name.SECRET_MISSING].weight is Weight.FAULT


def test_where_the_secrets_are_not_configured_any_proof_will_do() -> None:
    """One webhook verified by a secret of the platform's is a proof."""
    assert found(endpoint(), proofs=Proofs({NEW: NOW})) == {}
    assert Name.SECRET_UNPROVEN in found(endpoint(), proofs=Proofs({}))


def test_a_rolled_secret_is_safe_to_drop_a_day_after_it_last_signed() -> None:
    """Until then Stripe may sign with both; and a secret that has no successor stays."""
    both = (NEW, OLD)
    young = Proofs({NEW: NOW, OLD: NOW - DAY / 2}, configured=both)
    old = replace(young, last_seen={NEW: NOW, OLD: NOW - 2 * DAY})
    assert found(endpoint(), proofs=young) == {}
    told = found(endpoint(), proofs=old)
    assert (list(told), told[Name.SECRET_IDLE].weight) == ([Name.SECRET_IDLE], Weight.NOTE)
    assert OLD in told[Name.SECRET_IDLE].text
    assert found(endpoint(), destination(), proofs=old) == {}, "two registrations, two secrets"


def test_without_a_database_nothing_is_said_of_secrets_but_that() -> None:
    """A note, with the setting that cures it."""
    assert "DATABASE_URL" in found(endpoint(), proofs=None)[Name.SECRETS_UNKNOWN].cure


def test_the_heaviest_comes_first() -> None:
    """Faults, warnings, notes."""
    told = audit(NEEDED, AtStripe(read(endpoint(types=TYPES - {"charge.failed"} | {"x.y"}, api_version=None))), PROVEN)
    assert [one.weight for one in told] == [Weight.FAULT, Weight.WARNING, Weight.NOTE]


@pytest.mark.parametrize(("seconds", "words"), [(31.0, "ahead of"), (-31.0, "behind"), (29.0, None)])
def test_a_clock_is_wrong_beyond_half_a_minute(seconds: float, words: str | None) -> None:
    """And in which direction."""
    told = clock_findings(seconds, whose="This machine's")
    assert [words in one.text for one in told if words] == ([True] if words else [])
    assert bool(told) is bool(words)


some_types = st.frozensets(st.sampled_from(sorted(TYPES)[:6]), max_size=6)


@given(subscribed=st.lists(st.tuples(some_types, st.booleans()), min_size=1, max_size=4))
def test_what_is_missing_is_what_no_enabled_endpoint_gets(subscribed: list[tuple[frozenset[str], bool]]) -> None:
    """However many there are, and whatever each gets."""
    entries = [
        endpoint(f"we_{number}", types=types, status="enabled" if is_enabled else "disabled")
        for number, (types, is_enabled) in enumerate(subscribed)
    ]
    enabled = [types for types, is_enabled in subscribed if is_enabled]
    missing = TYPES.difference(*enabled) if enabled else frozenset()
    told = found(*entries).get(Name.TYPES_MISSING)
    assert frozenset(told.items if told else ()) == missing
