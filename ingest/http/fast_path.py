"""
The fast path: a webhook that arrives whole at the platform's URL, as nearly all do, needs no task.

Between its bytes and its answer it waits for nothing but the journal. So it is admitted as it is parsed, queued, and
answered by the commit itself. What is less plain goes the way of ``endpoint``; both give the same answers.
"""

import asyncio
import time
from collections.abc import Callable

from aiohttp import HttpVersion11, StreamReader
from aiohttp.http_parser import RawRequestMessage

from ingest.auth.authenticate import Authenticator
from ingest.http.body import BodyReader, is_json
from ingest.http.endpoint import PLATFORM_PATH, SIGNATURE, accept, refuse
from ingest.http.responses import Answer
from ingest.journal.journal import Journal
from ingest.journal.receipt import Receipt
from sluice.contract.event import StripeEvent

Reply = Callable[[Answer], object]


class FastPath:
    """Takes webhooks from the parser to the journal."""

    def __init__(self, *, authenticator: Authenticator, journal: Journal, bodies: BodyReader) -> None:
        self._authenticator = authenticator
        self._journal = journal
        self._bodies = bodies
        self._loop = asyncio.get_running_loop()  # asked once: on Python 3.11 each question is a system call

    @staticmethod
    def may_take(head: RawRequestMessage, content: StreamReader) -> bool:
        """Whether this is a whole request of the plainest kind to the platform's URL."""
        return (
            head.path == PLATFORM_PATH
            and head.method == "POST"
            and content.is_eof()
            and head.version == HttpVersion11
            and not head.should_close
            and not head.upgrade
            and "Content-Encoding" not in head.headers
            and is_json(head.headers.get("Content-Type"))
        )

    def take(self, head: RawRequestMessage, content: StreamReader, reply: Reply) -> None:
        """Give ``reply`` the answer once there is one; never before this has returned."""
        began = time.monotonic()
        try:
            body = self._bodies.checked(content.read_nowait())
            admitted = self._authenticator.platform(body, head.headers.get(SIGNATURE))
            ticket = PendingResponse(admitted.event, began, reply, self._loop)
            self._journal.enter(admitted.event, admitted.verified_by, ticket)
        except Exception as error:  # noqa: BLE001  the edge: whatever this is, it has an answer
            self._loop.call_soon(reply, refuse(error))


class PendingResponse:
    """A client's place in the journal's queue; writes its answer at the commit."""

    __slots__ = ("_began", "_event", "_is_done", "_loop", "_reply")

    def __init__(self, event: StripeEvent, began: float, reply: Reply, loop: asyncio.AbstractEventLoop) -> None:
        self._event = event
        self._began = began
        self._reply = reply
        self._loop = loop
        self._is_done = False

    def done(self) -> bool:
        """Whether it has its answer."""
        return self._is_done

    def set_result(self, receipt: Receipt) -> None:
        """The webhook is durable."""
        self._is_done = True
        self._loop.call_soon(self._accept, receipt)

    def set_exception(self, failure: BaseException) -> None:
        """The webhook is not recorded, as far as we know."""
        self._is_done = True
        self._loop.call_soon(self._refuse, failure)

    def _accept(self, receipt: Receipt) -> None:
        self._reply(accept(self._event, receipt, self._began))

    def _refuse(self, failure: BaseException) -> None:
        self._reply(refuse(failure))
