"""Access through an authenticating proxy: it names the user in a header, which is believed from its address alone."""

from dataclasses import dataclass

from aiohttp import web

from console.access.addresses import Network, is_within
from console.access.refusal import Reason, Refused
from console.access.visitor import Role, Visitor
from sluice.runtime.printable import printable

_LONGEST_NAME = 200
EVERY_USER = "*"


@dataclass(frozen=True)
class ProxyAccess:
    """
    The proxy, and the people whom it names.

    Args:
        header: its name; the proxy must set it itself, and drop what a client sends.
        operators: names in casefold; so are ``viewers``.
    """

    header: str
    proxies: tuple[Network, ...]
    operators: frozenset[str]
    viewers: frozenset[str]
    allows_actions: bool

    def visitor(self, request: web.Request) -> Visitor:
        """
        Name the person who asks.

        Raises:
            Refused: the request does not come from the proxy, or names no user who is listed.
        """
        if not is_within(request.remote, self.proxies):
            raise Refused(Reason.NOT_THE_PROXY)
        name = self._name(request)
        known = name.casefold()
        if known in self.operators:
            return Visitor(name, Role.OPERATOR, may_act=self.allows_actions)
        if known in self.viewers or EVERY_USER in self.viewers:
            return Visitor(name, Role.VIEWER, may_act=False)
        raise Refused(Reason.USER_NOT_LISTED)

    def _name(self, request: web.Request) -> str:
        """One header, with one name in it: two would leave it open which of them the proxy wrote."""
        given = request.headers.getall(self.header, [])
        if len(given) != 1:
            raise Refused(Reason.NO_USER)
        name = given[0].strip()
        if not name or len(name) > _LONGEST_NAME or "," in name or name != printable(name) or name == EVERY_USER:
            raise Refused(Reason.NO_USER)
        return name
