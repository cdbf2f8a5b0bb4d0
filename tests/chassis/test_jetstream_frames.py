"""Requests on the wire."""

import pytest

from sluice.chassis.jetstream_frames import Request


def test_a_request_with_headers_says_both_its_lengths() -> None:
    """The first counts the headers with their empty line, the second everything."""
    request = Request.of("stripe.live", b"body", {"A": "1"})
    assert request.to_bytes(b"inbox.1") == b"HPUB stripe.live inbox.1 18 22\r\nNATS/1.0\r\nA: 1\r\n\r\nbody\r\n"
    assert request.size == 22


def test_a_request_without_headers_is_a_plain_one() -> None:
    """As an acknowledgement is."""
    assert Request.of("$JS.ACK", b"+ACK").to_bytes() == b"PUB $JS.ACK  4\r\n+ACK\r\n"


@pytest.mark.parametrize("subject", ["", "two words", "a\r\nPUB b"])
def test_a_subject_cannot_end_its_line(subject: str) -> None:
    """Whatever follows would be a command of its own."""
    with pytest.raises(ValueError, match="subject"):
        Request.of(subject, b"")


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\n", "a\r"])
def test_a_header_cannot_end_its_line(value: str) -> None:
    """Whatever follows would be a header of its own, or the end of all headers."""
    with pytest.raises(ValueError, match="header"):
        Request.of("subject", b"", {"name": value})
