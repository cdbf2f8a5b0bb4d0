"""From signed bytes to a StripeEvent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.contract.envelope import read_event
from sluice.failures import MalformedEvent

SNAPSHOT: dict[str, object] = {
    "id": "evt_1",
    "object": "event",
    "api_version": "2026-10-28.endive",
    "created": 1_790_000_000,
    "livemode": True,
    "type": "payment_intent.succeeded",
    "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
}


def body(**changes: object) -> bytes:
    """A snapshot event with some fields of its envelope changed."""
    return json.dumps({**SNAPSHOT, **changes}).encode()


def test_a_snapshot_event_keeps_its_envelope_and_its_bytes() -> None:
    """Every field that Sluice keys on is read, and the body is untouched."""
    sent = body(account="acct_1")
    event = read_event(sent)
    assert (event.stripe_event_id, event.type, event.created) == ("evt_1", "payment_intent.succeeded", 1_790_000_000)
    assert (event.account, event.object_id, event.scope) == ("acct_1", "pi_1", "live:acct_1")
    assert event.body is sent
    assert event.object["id"] == "pi_1"


def test_an_organisers_event_is_keyed_by_the_organisers_row() -> None:
    """The same Stripe id through a tenant's URL can never collide with the platform's."""
    event = read_event(body(), tenant="42")
    assert event.stripe_event_id == "evt_1@42"
    assert event.scope == "tenant:42"


def test_a_thin_event_is_read_without_an_object() -> None:
    """An event notification of API v2 has an RFC 3339 time and a related object only."""
    event = read_event(
        json.dumps(
            {
                "id": "evt_thin_1",
                "object": "v2.core.event",
                "type": "v1.payment_intent.succeeded",
                "created": "2026-11-01T12:00:00.500Z",
                "livemode": False,
                "related_object": {"id": "pi_1", "type": "payment_intent", "url": "/v1/payment_intents/pi_1"},
            }
        ).encode()
    )
    assert event.is_thin
    assert (event.created, event.object_id, event.object) == (1_793_534_400, "pi_1", {})


def test_a_thin_type_may_have_brackets() -> None:
    """Stripe's v2 types name a part of an object in brackets."""
    event = read_event(body(type="v2.core.account[configuration.customer].updated"))
    assert event.type == "v2.core.account[configuration.customer].updated"


@pytest.mark.parametrize(
    ("fields", "account"),
    [
        ({}, None),
        ({"account": None, "user_id": None, "context": None}, None),
        ({"context": ""}, None),
        ({"account": "acct_1"}, "acct_1"),
        ({"user_id": "acct_1"}, "acct_1"),
        ({"context": "acct_1"}, "acct_1"),
        ({"context": "acct_1/acct_2"}, "acct_2"),
        ({"context": "org_1/acct_1/acct_2"}, "acct_2"),
        ({"context": "acct_1/wksp_2"}, "wksp_2"),
        ({"account": "acct_2", "context": "acct_1/acct_2"}, "acct_2"),
        ({"account": "acct_1", "context": "acct_2"}, "acct_1"),
        ({"account": "acct_1", "user_id": "acct_2"}, "acct_1"),
        ({"user_id": "acct_1", "context": "acct_2"}, "acct_1"),
    ],
)
@pytest.mark.parametrize("kind", ["event", "v2.core.event"])
def test_an_event_is_of_the_account_that_it_names(fields: dict[str, object], account: str | None, kind: str) -> None:
    """By ``account``, before 2017-05-25 by ``user_id``, from an organisation by the end of ``context``."""
    event = read_event(body(object=kind, **fields))
    assert event.account == account
    assert event.scope == f"live:{account or 'platform'}"


@pytest.mark.parametrize("name", ["account", "user_id", "context"])
@pytest.mark.parametrize("value", ["platform", "acct.1", "acct 1", 7, True, [], ["acct_1"], {}, {"id": "acct_1"}])
def test_a_strange_account_is_refused_and_never_the_platforms(name: str, value: object) -> None:
    """It is answered 400, so Stripe keeps it and shows it; acknowledged, it would act as the platform's own."""
    with pytest.raises(MalformedEvent):
        read_event(body(**{name: value}))


@pytest.mark.parametrize(
    "context", ["/", "/acct_1", "acct_1/", "acct_1//acct_2", "acct_1/platform", "acct_1/acct.2", " ", "a/" * 10 + "a"]
)
def test_a_context_that_is_no_path_of_accounts_is_refused(context: str) -> None:
    """The event's account cannot be told."""
    with pytest.raises(MalformedEvent):
        read_event(body(context=context))


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\udc00\\ud800"])
def test_escapes_that_postgresql_or_utf8_refuse_are_read(escape: str) -> None:
    """NUL and lone surrogates are JSON, and Stripe may send them in metadata."""
    sent = body().replace(b'"pi_1"', b'"pi_1", "description": "' + escape.encode() + b'"')
    assert read_event(sent).object_id == "pi_1"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"id": NaN}',
        body(object="charge"),
        body(id=None),
        body(id="evt_" + "x" * 300),
        body(id="evt_1@42"),
        body(id="evt_\u0661"),
        body(type=""),
        body(type="payment intent"),
        body(created="yesterday"),
        body(created="2026-11-01T12:00:00"),
        body(created=True),
        body(created=-1),
        body(created=10**15),
        body(livemode="yes"),
        body(account="acct.1"),
        body(account=7),
    ],
)
def test_what_stripe_never_sends_is_malformed(sent: bytes) -> None:
    """Nothing but a MalformedEvent comes of bytes that are no Stripe event."""
    with pytest.raises(MalformedEvent):
        read_event(sent)


ANY_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)
FIELDS = [
    "id", "object", "type", "created", "livemode", "account", "user_id", "context", "api_version", "data",
    "related_object",
]  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.binary() | ANY_JSON.map(json.dumps).map(str.encode))
def test_any_bytes_are_an_event_or_malformed(sent: bytes) -> None:
    """No other exception escapes, whatever the bytes are."""
    try:
        read_event(sent)
    except MalformedEvent:
        return


@given(st.dictionaries(st.sampled_from(FIELDS), SCALARS | st.dictionaries(st.text(), st.text())))
def test_any_field_of_any_shape_is_an_event_or_malformed(changes: dict[str, object]) -> None:
    """A field of the envelope may hold anything without harm."""
    try:
        event = read_event(body(**changes))
    except MalformedEvent:
        return
    assert event.stripe_event_id.isascii()
    is_of_an_account = any(changes.get(name) not in (None, "") for name in ("account", "user_id", "context"))
    assert is_of_an_account == (event.scope != f"{event.mode}:platform")
