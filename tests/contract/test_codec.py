"""A StripeEvent as a message."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.contract.codec import Envelope, cloudevents_headers, decode, encode
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import message_id, subject_for, tenant_token
from sluice.failures import UnknownContractVersion

ROOT = Path(__file__).parents[2]
names = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1, max_size=40)
events = st.builds(
    StripeEvent,
    stripe_event_id=names,
    type=st.lists(names, min_size=1, max_size=4).map(".".join),
    created=st.integers(0, 2**40),
    livemode=st.booleans(),
    account=st.none() | names,
    api_version=st.none() | names,
    object_id=st.none() | names,
    tenant=st.none() | names,
    body=st.binary(),
)


@given(events, st.integers(0, 1000))
def test_what_is_encoded_is_decoded_the_same(event: StripeEvent, attempt: int) -> None:
    """No field is lost on the way, an absent one stays absent."""
    assert decode(encode(Envelope(event, attempt))) == Envelope(event, attempt)


@given(events)
def test_a_body_can_stay_behind(event: StripeEvent) -> None:
    """By reference, everything but the body travels."""
    travelled = decode(encode(Envelope(event, 0).by_reference()))
    assert travelled.is_by_reference
    assert travelled.event.stripe_event_id == event.stripe_event_id


@pytest.mark.parametrize("message", [b"", b"\xff\xff", b"junk"])
def test_foreign_bytes_are_refused(message: bytes) -> None:
    """A message of another contract is told apart, never half read."""
    with pytest.raises(UnknownContractVersion):
        decode(message)


@given(events)
def test_a_subject_has_no_empty_token(event: StripeEvent) -> None:
    """NATS refuses empty tokens, whatever the type."""
    tokens = subject_for(event).split(".")
    assert tokens[0] == "stripe"
    assert tokens[1] in {"live", "test"}
    assert tokens[2] == (event.account or "platform" if event.tenant is None else f"tenant_{event.tenant}")
    assert all(tokens)


@pytest.mark.parametrize("account", [None, "acct_1Platform", "acct_1Other"])
def test_an_organisers_event_passes_for_no_other_account(account: str | None) -> None:
    """Whatever account the organiser wrote into the body, the subject says through whose URL it came."""
    event = StripeEvent("evt_1@7", "charge.failed", 0, True, account, None, None, "7", b"")
    assert subject_for(event) == "stripe.live.tenant_7.charge.failed"
    assert cloudevents_headers(event)["ce-source"] == "/sluice/tenant/7"


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_id_of_an_organiser_is_one_token_of_its_own(one: str, other: str) -> None:
    """Ids may be any text; NATS takes no space, dot or wildcard in a token, and two ids never share one."""
    assert re.fullmatch(r"tenant_[A-Za-z0-9_=-]{1,300}", tenant_token(one))
    assert (tenant_token(one) == tenant_token(other)) == (one == other)


@pytest.mark.parametrize(
    ("tenant", "token"),
    [
        ("6a2f41a3-c54c-4ce8-92d2-0324e1c32e22", "tenant_6a2f41a3-c54c-4ce8-92d2-0324e1c32e22"),
        ("gala.24 >*", "tenant_gala=2E24=20=3E=2A"),
        ("straße=", "tenant_stra=C3=9Fe=3D"),
    ],
)
def test_the_token_of_an_organiser_is_written_so(tenant: str, token: str) -> None:
    """Subscribers write it down, so it stays as it is."""
    assert tenant_token(tenant) == token
    event = StripeEvent(f"evt_1@{tenant}", "a", 0, True, None, None, None, tenant, b"")
    cloudevents_headers(event)["ce-source"].encode("ascii")


@pytest.mark.parametrize("tenant", ["x" * 250, "=" * 70, "=sha256=" + "0" * 64])
def test_a_long_id_has_a_short_token(tenant: str) -> None:
    """A line of NATS is bounded, and the substitute for a long id cannot be an id of Stripe's."""
    assert len(tenant_token(tenant)) <= 210
    assert tenant_token(tenant) != tenant_token(tenant_token(tenant).removeprefix("tenant_"))


@pytest.mark.parametrize("event_type", [".", "a..b", ".a", "a."])
def test_a_strange_type_still_has_a_subject(event_type: str) -> None:
    """Dots at the ends or in a row do not make an empty token."""
    event = StripeEvent("evt_1", event_type, 0, True, None, None, None, None, b"")
    assert all(subject_for(event).split("."))


def test_each_publication_has_an_id_of_its_own() -> None:
    """JetStream's duplicate window must never swallow a deliberate repeat."""
    event = StripeEvent("evt_1", "a", 0, True, None, None, None, None, b"")
    assert message_id(event, publication=1) != message_id(event, publication=2)


def test_headers_follow_cloudevents() -> None:
    """A subscriber that knows CloudEvents needs no protobuf to route."""
    event = StripeEvent("evt_1", "charge.failed", 0, True, None, None, None, None, b"")
    headers = cloudevents_headers(event)
    assert headers["ce-type"] == "com.stripe.charge.failed"
    assert headers["ce-time"] == "1970-01-01T00:00:00Z"


def test_the_generated_code_is_what_the_proto_says(tmp_path: Path) -> None:
    """The generated code matches proto/: it was not edited, and `make proto` was run."""
    proto = "proto/sluice/contract/v1/event.proto"
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-Iproto",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
    ]
    subprocess.run([*command, proto], cwd=ROOT, check=True)
    for name in ("event_pb2.py", "event_pb2.pyi"):
        committed = ROOT / "sluice/contract/v1" / name
        assert (tmp_path / "sluice/contract/v1" / name).read_text() == committed.read_text()
