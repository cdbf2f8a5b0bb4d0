"""Answers as bytes: the documented JSON, one table from failures to status codes, nothing that a client sent."""

import json
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web

from ingest.errors import BodyTooLarge, MethodNotAllowed, NotFound, UnsupportedMediaType
from sluice.failures import Defect, Failure, Rejected, Unavailable

RETRY_AFTER_SECONDS = 5


_STATUS: tuple[tuple[type[Failure], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (MethodNotAllowed, HTTPStatus.METHOD_NOT_ALLOWED),
    (BodyTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnsupportedMediaType, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (Rejected, HTTPStatus.BAD_REQUEST),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Defect, HTTPStatus.INTERNAL_SERVER_ERROR),
    (Failure, HTTPStatus.INTERNAL_SERVER_ERROR),
)
_STATUS_LINES = {status: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


class Answer(NamedTuple):
    """A whole answer. There is no Server header."""

    status: HTTPStatus
    content: bytes
    extra_head: bytes = b""

    def to_bytes(self, *, keep_alive: bool, has_body: bool = True) -> bytes:
        """Status line, headers and body."""
        return b"%s%sContent-Type: application/json\r\nContent-Length: %d\r\nDate: %s\r\n%s\r\n%s" % (
            _STATUS_LINES[self.status],
            self.extra_head,
            len(self.content),
            _date(),
            b"" if keep_alive else b"Connection: close\r\n",
            self.content if has_body else b"",
        )


class Response(web.StreamResponse):
    """
    An answer as aiohttp's own loop wants it, written in one piece.

    aiohttp's own response spends longer on its headers than we on a webhook.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(status=answer.status)
        self._answer = answer

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write everything; the connection stays open only for a client that asked so and whose body is read."""
        keep = request.version >= (1, 1) and request.keep_alive and request.content.is_eof() and not self._is_last
        self._keep_alive = keep
        await request.writer.write(self._answer.to_bytes(keep_alive=keep, has_body=request.method != "HEAD"))
        await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""

    @property
    def _is_last(self) -> bool:
        return self._keep_alive is False  # as force_close() leaves it


def received(event_id: str, *, is_duplicate: bool) -> Answer:
    """The one answer that Stripe takes for a yes; only after a commit. The id's shape needs no escaping."""
    duplicate = b"true" if is_duplicate else b"false"
    return Answer(HTTPStatus.OK, b'{"received": true, "id": "%s", "duplicate": %s}\n' % (event_id.encode(), duplicate))


def refusal(failure: Failure) -> Answer:
    """The answer to a request that failed."""
    status = next(status for kind, status in _STATUS if isinstance(failure, kind))
    body = json.dumps({"error": {"code": failure.code, "message": str(failure)}}).encode() + b"\n"
    return Answer(status, body, extra_head=_extra_head(status))


def _extra_head(status: HTTPStatus) -> bytes:
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return b"Retry-After: %d\r\n" % RETRY_AFTER_SECONDS
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        return b"Allow: POST\r\n"
    return b""


class _Clock:
    """The Date header, made once a second."""

    second = -1
    text = b""


def _date() -> bytes:
    second = int(time.time())
    if second != _Clock.second:
        _Clock.second, _Clock.text = second, formatdate(second, usegmt=True).encode()
    return _Clock.text
