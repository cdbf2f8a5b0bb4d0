"""
Requests as NATS wants them on the wire; pure.

nats-py formats, checks and flushes one message at a time; here many are made into one piece of bytes.

Source: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_SUBJECT = re.compile(r"[!-~]+")  # NATS splits its lines at spaces
_FIRST_LINE = "NATS/1.0"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to a subject; ``head`` is the encoded headers, empty where there are none."""

    subject: bytes
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
        return cls(subject.encode(), _encoded(headers) if headers else b"", payload)

    @property
    def size(self) -> int:
        """What the server's ``max_payload`` counts, in bytes."""
        return len(self.head) + len(self.payload)

    def to_bytes(self, reply: bytes = b"") -> bytes:
        """The whole request, to be answered to ``reply``."""
        if self.head:
            lengths = (len(self.head), self.size)
            return b"HPUB %s %s %d %d\r\n%s%s\r\n" % (self.subject, reply, *lengths, self.head, self.payload)
        return b"PUB %s %s %d\r\n%s\r\n" % (self.subject, reply, len(self.payload), self.payload)


def _encoded(headers: Mapping[str, str]) -> bytes:
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header is one line")
    return f"{_FIRST_LINE}\r\n{text}\r\n".encode()
