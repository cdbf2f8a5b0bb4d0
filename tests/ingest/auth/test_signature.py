"""verify accepts nothing that Stripe's own libraries reject, and everything that Stripe sends."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stripe import SignatureVerificationError, WebhookSignature

from ingest.auth.signature import (
    BadSignature,
    FutureTimestamp,
    MalformedSignature,
    MissingSignature,
    NotText,
    StaleTimestamp,
    verify,
)
from sluice.failures import Rejected
from sluice.simulator.signature import sign
from sluice.webhook_secret import fingerprint

NOW = 1_790_000_000
BODY = b'{"id": "evt_1"}'
SECRET = "whsec_a"
VECTORS = json.loads((Path(__file__).parent / "vectors" / "stripe-node.json").read_text())

bodies = st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
timestamps = st.one_of(st.integers(NOW - 310, NOW + 310), st.integers(0, 10**13), st.sampled_from((-1, -NOW)))
headers = st.one_of(
    st.text(max_size=80),
    st.from_regex(r"(t=[0-9+ _]{0,12}|v1=[0-9a-f]{0,64}|v0=x|[a-z]{0,2}=?)(,(t=[0-9]{0,12}|v1=[0-9a-f]*| v1=1)){0,4}"),
)


def library_accepts(body: bytes, header: str, secret: str) -> bool:
    """Ask stripe for Python, with the clock at ``NOW``."""
    with patch.object(time, "time", return_value=float(NOW)):
        try:
            return bool(WebhookSignature.verify_header(body, header, secret, tolerance=300))
        except (SignatureVerificationError, UnicodeDecodeError, TypeError):
            return False


def accepts(body: bytes, header: str, secret: str) -> bool:
    """Ask verify, with the clock at ``NOW``; anything but a Rejected escapes and fails the test."""
    try:
        return verify(body, header, [secret], now=NOW).secret == secret
    except Rejected:
        return False


@given(bodies, headers, secrets)
@example(BODY, f"t={NOW},v1=", SECRET)
@example(BODY, "t=१२,v1=00", SECRET)
@example(BODY, f"t={NOW},v1=é", SECRET)
def test_arbitrary_headers_are_accepted_only_where_the_library_accepts(body: bytes, header: str, secret: str) -> None:
    """Whatever a stranger puts into the header, verify never says yes where the library says no, and never breaks."""
    assert not accepts(body, header, secret) or library_accepts(body, header, secret)


@given(bodies, timestamps, st.lists(secrets, min_size=1, max_size=3, unique=True), st.data())
def test_signed_webhooks_are_judged_as_the_library_does(
    body: bytes, signed_at: int, active: list[str], data: st.DataObject
) -> None:
    """For headers as Stripe makes them the verdict is the library's, but for those dated too far ahead."""
    header = sign(body, active, timestamp=signed_at)
    secret = data.draw(st.sampled_from(active))
    is_ahead = signed_at > NOW + 300
    assert accepts(body, header, secret) == (library_accepts(body, header, secret) and not is_ahead)


@given(bodies, st.data())
def test_a_mutated_header_is_accepted_only_where_the_library_accepts(body: bytes, data: st.DataObject) -> None:
    """Characters changed, removed, inserted: never a yes of our own."""
    header = sign(body, [SECRET], timestamp=NOW)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(header)))
        cut = data.draw(st.integers(0, 2))
        inserted = data.draw(st.text("0123456789abcdeftv=, +_१A\x00é", max_size=2))
        header = header[:at] + inserted + header[at + cut :]
    assert not accepts(body, header, SECRET) or library_accepts(body, header, SECRET)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_byte_of_the_body_is_rejected(body: bytes, data: st.DataObject) -> None:
    """One byte more, less or other than was signed."""
    header = sign(body, [SECRET], timestamp=NOW)
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytes([body[at] ^ data.draw(st.integers(1, 255))])
    for other in (body[:at] + changed + body[at + 1 :], body[:at] + body[at + 1 :], body + b" "):
        assert not accepts(other, header, SECRET)


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector[0])
def test_verdicts_are_those_of_the_node_library(vector: tuple[str, str, str, str, bool]) -> None:
    """Signed and judged by another implementation; see vectors/generate.mjs."""
    _, header, secret, body, is_accepted = vector
    try:
        verify(body.encode(), header, ["whsec_another", secret], now=VECTORS["made_with"]["now"])
    except Rejected:
        assert not is_accepted
    else:
        assert is_accepted


def test_the_node_vectors_hold_both_verdicts() -> None:
    """A table in which everything is rejected would prove nothing."""
    verdicts = [vector[-1] for vector in VECTORS["vectors"]]
    assert verdicts.count(True) > 50
    assert verdicts.count(False) > 100


def repeated(times: int) -> Callable[[str], str]:
    """A header with so many pairs."""
    return lambda header: ",".join([header, *["v0=1"] * times])


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (lambda _: "", MissingSignature),
        (lambda header: header.replace("t=", "t=+"), MalformedSignature),
        (lambda header: header.replace("t=", "t=0_"), MalformedSignature),
        (lambda header: header.replace("t=", "t= "), MalformedSignature),
        (lambda header: header.replace(",", ", "), MalformedSignature),
        (lambda header: f"{header},t={NOW}", MalformedSignature),
        (lambda header: header.split(",")[1], MalformedSignature),
        (repeated(9), MalformedSignature),
        (lambda header: header + "," + "v0=" + "a" * 2048, MalformedSignature),
        (lambda header: header.replace("v1=", "v1="[::-1]), MalformedSignature),
        (lambda header: header.split(",")[0], BadSignature),
        (lambda header: header.replace("v1=", "v0="), BadSignature),
    ],
)
def test_headers_that_stripe_never_sends_are_rejected(change: Callable[[str], str], failure: type[Rejected]) -> None:
    """Even where the library would read them."""
    with pytest.raises(failure) as caught:
        verify(BODY, change(sign(BODY, [SECRET], timestamp=NOW)), [SECRET], now=NOW)
    assert type(caught.value) is failure


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_timestamps_within_the_tolerance_are_accepted(seconds: int) -> None:
    """Five minutes either way, the edge included."""
    assert verify(BODY, sign(BODY, [SECRET], timestamp=NOW + seconds), [SECRET], now=NOW).signed_at == NOW + seconds


@pytest.mark.parametrize(("seconds", "failure"), [(-301, StaleTimestamp), (301, FutureTimestamp)])
def test_timestamps_outside_the_tolerance_are_rejected(seconds: int, failure: type[Rejected]) -> None:
    """Also those ahead, which the library accepts."""
    with pytest.raises(failure):
        verify(BODY, sign(BODY, [SECRET], timestamp=NOW + seconds), [SECRET], now=NOW)


def test_a_forged_signature_never_looks_like_a_wrong_clock() -> None:
    """The timestamp of a forgery means nothing, so it must not raise the alarm for clocks."""
    with pytest.raises(BadSignature):
        verify(BODY, sign(BODY, ["whsec_b"], timestamp=NOW - 10_000), [SECRET], now=NOW)


def test_the_secret_that_matched_is_named() -> None:
    """While a secret is rolled, each of the active ones verifies, and its fingerprint says which."""
    header = sign(BODY, ["whsec_new"], timestamp=NOW)
    assert verify(BODY, header, ["whsec_old", "whsec_new"], now=NOW).secret == "whsec_new"
    assert fingerprint("platform", "whsec_new") == "platform:06626a5e"
    assert "whsec" not in repr(verify(BODY, header, ["whsec_new"], now=NOW))


def test_bytes_that_are_no_text_are_rejected_without_carrying_them() -> None:
    """The error must not hold the body, which a log might then show."""
    with pytest.raises(NotText) as caught:
        verify(b"\xff" + BODY, sign(BODY, [SECRET], timestamp=NOW), [SECRET], now=NOW)
    assert caught.value.__context__ is None
    with pytest.raises(BadSignature) as forged:
        verify(BODY, sign(BODY, ["whsec_b"], timestamp=NOW), [SECRET], now=NOW)
    assert forged.value.__context__ is None
