"""From a request to its bytes: never more than the limit, never longer than the deadline, never unpacked."""

import asyncio
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web

from ingest.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    ClientGone,
    TooMuchAtOnce,
    UnsupportedMediaType,
)
from ingest.tenant_limits import Place

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bytes of one body, seconds to read it in, and bytes of all bodies that are being read."""

    body_bytes: int = 2 * 1024 * 1024
    organiser_body_bytes: int = 256 * 1024
    body_seconds: float = 5
    reading_bytes: int = 64 * 1024 * 1024


class BodyReader:
    """Reads bodies; a client that sends slowly holds no more memory than its share."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._reading_bytes = 0

    async def read(self, request: web.BaseRequest, place: Place | None = None) -> bytes:
        """
        The body as it was sent.

        Args:
            place: what it counts against, where it was sent to an organiser's URL.

        Raises:
            UnsupportedMediaType, BodyTooLarge: refused by its headers, or because it turned out too large.
            BodyTooSlow, TooMuchAtOnce: worth another try.
            BadRequest, ClientGone: the body broke off.
        """
        most = self._limits.body_bytes if place is None else self._organiser_bytes
        self._check_head(request, most)
        content = request.content
        if not content.is_eof():
            return await self._read_slowly(request, most, place)
        body = content.read_nowait()  # it came with the headers, as Stripe's do
        if len(body) > most:
            raise BodyTooLarge
        if place is not None:
            place.grow(len(body))
        return body

    @property
    def _organiser_bytes(self) -> int:
        return min(self._limits.organiser_body_bytes, self._limits.body_bytes)

    def _check_head(self, request: web.BaseRequest, most: int) -> None:
        headers = request.headers
        if headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
            raise UnsupportedMediaType("The body must not be compressed.")
        if not is_json(headers.get("Content-Type")):
            raise UnsupportedMediaType("The body must be sent as application/json.")
        if (request.content_length or 0) > most:
            raise BodyTooLarge

    def checked(self, body: bytes) -> bytes:
        """The same body of the platform's; raises BodyTooLarge."""
        if len(body) > self._limits.body_bytes:
            raise BodyTooLarge
        return body

    async def _read_slowly(self, request: web.BaseRequest, most: int, place: Place | None) -> bytes:
        chunks: list[bytes] = []
        held = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds) as deadline:
                await _invite(request)
                while chunk := await request.content.readany():
                    chunks.append(chunk)
                    held += len(chunk)
                    self._reading_bytes += len(chunk)
                    if held > most:
                        raise BodyTooLarge
                    if self._reading_bytes > self._limits.reading_bytes:
                        raise TooMuchAtOnce
                    if place is not None:
                        place.grow(len(chunk))
        except OSError as error:  # TimeoutError is one, and may come from the network too
            raise (BodyTooSlow if deadline.expired() else ClientGone) from error
        except web.RequestPayloadError as error:
            raise BadRequest from error
        finally:
            self._reading_bytes -= held
        return b"".join(chunks)


async def _invite(request: web.BaseRequest) -> None:
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # an interim answer is not the answer


@lru_cache(maxsize=64)
def is_json(content_type: str | None) -> bool:
    """Whether a body of this type may be Stripe's: absent, ``application/json`` or ``application/*+json``."""
    if content_type is None:
        return True
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))
