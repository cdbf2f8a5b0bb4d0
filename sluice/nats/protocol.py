"""
Requests and messages as they are on NATS's wire; pure.

nats-py formats, checks and flushes one message at a time, and wakes a task for each that comes; here many are made into
one piece of bytes, and read out of one.

Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

_SUBJECT = re.compile(r"[!-~]+")  # NATS splits its lines at spaces
_FIRST_LINE = "NATS/1.0"
_END = b"\r\n"
_WORD = rb"([^ \r\n]+)"
_PLAIN = re.compile(rb"MSG %b [^ \r\n]+ (?:%b )?()([0-9]+)\r\n" % (_WORD, _WORD))
"""Subject, reply, no headers, bytes of everything."""
_HEADED = re.compile(rb"HMSG %b [^ \r\n]+ (?:%b )?([0-9]+) ([0-9]+)\r\n" % (_WORD, _WORD))
"""Subject, reply, bytes of the headers, bytes of everything."""


class Request(NamedTuple):
    """A message to a subject; ``head`` is the encoded headers, empty where there are none."""

    subject: str
    headers: Mapping[str, str]
    head: bytes
    payload: bytes

    @classmethod
    def of(cls, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> Self:
        """
        Encode.

        Raises:
            ValueError: the subject or a header would end its line before its end.
        """
        if _SUBJECT.fullmatch(subject) is None:
            raise ValueError("a subject is printable ASCII without spaces")
        return cls(subject, headers or {}, _encoded(headers) if headers else b"", payload)

    @property
    def size(self) -> int:
        """Size in bytes as the server's ``max_payload`` counts it."""
        return len(self.head) + len(self.payload)

    def to_bytes(self, reply: str = "") -> bytes:
        """The whole request, to be answered to ``reply``."""
        line = f"{self.subject} {reply}".encode()
        if self.head:
            return b"HPUB %s %d %d\r\n%s%s\r\n" % (line, len(self.head), self.size, self.head, self.payload)
        return b"PUB %s %d\r\n%s\r\n" % (line, len(self.payload), self.payload)


def _encoded(headers: Mapping[str, str]) -> bytes:
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header is one line")
    return f"{_FIRST_LINE}\r\n{text}\r\n".encode()


class Message(NamedTuple):
    """A message from a subscription; ``head`` is the headers as they came, empty where there are none."""

    subject: str
    reply: str
    head: bytes
    payload: bytes

    @property
    def status(self) -> str:
        """The three digits with which a server answers in place of a message; empty for a message."""
        if not self.head:
            return ""
        first_line = self.head.partition(_END)[0].decode(errors="replace").split()
        return first_line[1] if len(first_line) > 1 else ""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, decoded; of a name that comes twice, the last."""
        lines = (line.partition(":") for line in self.head.decode(errors="replace").split("\r\n")[1:] if line)
        return {name: value.strip() for name, _, value in lines}


def take_messages(buffer: bytearray) -> list[Message]:
    """
    Take the whole messages at the beginning of what came off it; something else, or a part of a message, stays.

    Raises:
        ValueError: this is no message of NATS's.
    """
    messages: list[Message] = []
    taken = 0
    with memoryview(buffer) as view:
        for message, end in _whole_messages(buffer, view):
            messages.append(message)
            taken = end
    del buffer[:taken]
    return messages


def begins_with_message(buffer: bytearray) -> bool:
    """Whether what comes first is a message, or a part of one."""
    return buffer.startswith((b"MSG ", b"HMSG "))


def _whole_messages(buffer: bytearray, view: memoryview) -> Iterator[tuple[Message, int]]:
    """Each with the place at which the next thing begins."""
    place = 0
    while buffer.startswith((b"MSG ", b"HMSG "), place):
        line = _PLAIN.match(buffer, place) or _HEADED.match(buffer, place)
        if line is None:
            if buffer.find(_END, place) < 0:
                return
            raise ValueError("NATS announced a message in words that we do not know")
        subject, reply, head_bytes, all_bytes = line.groups(b"")
        body = line.end()
        payload = body + int(head_bytes or 0)
        end = body + int(all_bytes)
        place = end + len(_END)
        if place > len(buffer):
            return
        words = subject.decode(errors="replace"), reply.decode(errors="replace")  # others may publish any bytes
        yield Message(*words, bytes(view[body:payload]), bytes(view[payload:end])), place
