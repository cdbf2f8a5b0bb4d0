"""Requests on the wire."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.nats.protocol import Message, Request, begins_with_message, take_messages


def test_a_request_with_headers_says_both_its_lengths() -> None:
    """The first counts the headers with their empty line, the second everything."""
    request = Request.of("stripe.live", b"body", {"A": "1"})
    assert request.to_bytes("inbox.1") == b"HPUB stripe.live inbox.1 18 22\r\nNATS/1.0\r\nA: 1\r\n\r\nbody\r\n"
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


WORDS = st.text("abcXYZ019.$_-\t\v\f\xe9", min_size=1, max_size=20)
HEADS = st.just(b"") | st.binary(min_size=1, max_size=40)
MESSAGES = st.builds(Message, subject=WORDS, reply=st.just("") | WORDS, head=HEADS, payload=st.binary(max_size=60))


def _on_the_wire(message: Message) -> bytes:
    reply = f"{message.reply} " if message.reply else ""
    body = message.head + message.payload
    lengths = f"{len(message.head)} {len(body)}" if message.head else str(len(body))
    verb = "HMSG" if message.head else "MSG"
    return f"{verb} {message.subject} 1 {reply}{lengths}\r\n".encode() + body + b"\r\n"


@given(sent=st.lists(MESSAGES, max_size=6), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_messages_are_read_however_they_were_cut_into_pieces(sent: list[Message], cuts: list[int]) -> None:
    """Whatever bytes they hold: line ends and words of the protocol, too."""
    wire = b"".join(_on_the_wire(message) for message in sent)
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    buffer, taken = bytearray(), list[Message]()
    for begin, end in itertools.pairwise(places):
        buffer.extend(wire[begin:end])
        taken += take_messages(buffer)
    assert taken == sent
    assert not buffer


@given(sent=st.lists(MESSAGES, max_size=3))
def test_what_is_no_message_stays_for_the_library(sent: list[Message]) -> None:
    """A ping, an error, news of the server."""
    buffer = bytearray(b"".join(_on_the_wire(message) for message in sent) + b"PING\r\nMSG a 1 0\r\n\r\n")
    assert take_messages(buffer) == sent
    assert not begins_with_message(buffer)
    assert buffer == b"PING\r\nMSG a 1 0\r\n\r\n"


def test_a_subject_that_is_no_text_does_not_end_the_connection() -> None:
    """Any publisher may have written it; the message is set aside further on."""
    (message,) = take_messages(bytearray(b"MSG stripe.\xff 1 $JS.ACK.1 2\r\nab\r\n"))
    assert (message.subject, message.reply, message.payload) == ("stripe.\ufffd", "$JS.ACK.1", b"ab")


@pytest.mark.parametrize("line", [b"MSG a\r\n", b"HMSG a 1 b 2 3 4 5\r\n", b"MSG a 1 many\r\n"])
def test_unknown_words_end_the_connection(line: bytes) -> None:
    """Better than to read on at an unknown place of the stream."""
    with pytest.raises(ValueError):
        take_messages(bytearray(line))


def test_status_and_headers_are_read_when_asked_for() -> None:
    """A server answers with a status where there is no message."""
    assert Message("a", "", b"NATS/1.0 404 No Messages\r\n\r\n", b"").status == "404"
    message = Message("a", "", b"NATS/1.0\r\nce-id: 1\r\nA:b\r\n\r\n", b"")
    assert (message.status, dict(message.headers)) == ("", {"ce-id": "1", "A": "b"})
