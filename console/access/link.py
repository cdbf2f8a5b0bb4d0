"""
Access without a proxy: a one-time link, from loopback, as Jupyter's.

The token of the link is exchanged for a session's cookie; then another link takes its place. Both live in this
process alone, so that a console that starts again asks for a new link.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from aiohttp import web

from console.access.addresses import is_loopback
from console.access.refusal import Reason, Refused
from console.access.visitor import Role, Visitor

COOKIE = "sluice_console"
_SESSION_SECONDS = 12 * 3600
_SESSIONS_AT_MOST = 50
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Session:
    person: str
    ends_at: float


class LinkAccess:
    """
    The next link's token, and the sessions that links were exchanged for.

    Args:
        on_token: hears each new token, the first one at once.
    """

    def __init__(
        self,
        on_token: Callable[[str], None],
        *,
        allows_actions: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_token = on_token
        self._allows_actions = allows_actions
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}
        self._token = ""
        self._renew()

    def enter(self, request: web.Request, token: str, person: str) -> str:
        """
        Exchange a link's token for the value of a session's cookie.

        Raises:
            Refused: the link was used before, or never was one, or the request comes from another machine.
        """
        if not is_loopback(request.remote):
            raise Refused(Reason.NOT_LOOPBACK)
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise Refused(Reason.LINK_USED)
        self._renew()
        cookie = secrets.token_urlsafe(_TOKEN_BYTES)
        while len(self._sessions) >= _SESSIONS_AT_MOST:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_digest(cookie)] = _Session(person, self._clock() + _SESSION_SECONDS)
        return cookie

    def visitor(self, request: web.Request) -> Visitor:
        """
        Name the person who asks.

        Raises:
            Refused: there is no such session, or the request comes from another machine.
        """
        if not is_loopback(request.remote):
            raise Refused(Reason.NOT_LOOPBACK)
        session = self._sessions.get(_digest(request.cookies.get(COOKIE, "")))
        if session is None or session.ends_at <= self._clock():
            raise Refused(Reason.NO_SESSION)
        return Visitor(session.person, Role.OPERATOR, may_act=self._allows_actions)

    def _renew(self) -> None:
        self._token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._on_token(self._token)


def _digest(cookie: str) -> bytes:
    """Look sessions up by this, so that the time of a look-up says nothing of a cookie."""
    return sha256(cookie.encode()).digest()
