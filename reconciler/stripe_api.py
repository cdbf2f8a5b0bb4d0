"""
Stripe's API, through its own library: the only module of the reconciler that knows it.

Answers are plain documents. The library's objects cost half a millisecond each, and nothing here needs them.
"""

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import MappingProxyType

import aiohttp

from reconciler import metrics
from reconciler.budget import Budget
from reconciler.failures import (
    AccountClosed,
    KeyMissing,
    KeyRefused,
    NotThere,
    NotUnderstood,
    RateLimited,
    RightMissing,
    StripeUnavailable,
)
from sluice.contract.document import JsonObject, decode_object
from sluice.failures import Failure, MalformedEvent
from sluice.runtime import logs
from sluice.runtime.hidden_modules import HTTP_CLIENTS, not_to_be_found

with not_to_be_found(*HTTP_CLIENTS):  # ours is aiohttp
    import stripe

DEFAULT_BASE = "https://api.stripe.com"
API_VERSION: str = stripe.api_version
"""The version in which objects are given: the library asks for its own."""
_TRIES = 4
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 3600.0
_RIGHT = re.compile(r"'(rak_[a-z_]+)'")
_NO_ACCESS = frozenset({"account_invalid", "platform_account_required"})
_ACCOUNT_OPTIONS = frozenset({"stripe_account", "stripe_context"})
_NOT_THERE = frozenset({"resource_missing", "not_found"})
_UNAUTHORIZED, _FORBIDDEN, _MISSING, _UNDER_WAY, _TOO_MANY, _OURS = 401, 403, 404, 409, 429, 500
_NOTHING: Mapping[str, str | int] = MappingProxyType({})

logging.getLogger("stripe").setLevel(logging.WARNING)  # it tells of each request


@dataclass(frozen=True, slots=True)
class Answer:
    """Stripe's answer, and its time by Stripe's clock."""

    document: JsonObject
    said_at: int
    """Whole seconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, the same one each time that it is made."""

    method: str
    path: str
    parameters: Mapping[str, str | int]
    options: Mapping[str, str] = field(default_factory=dict)
    """As the library calls them: for which account, under which idempotency key."""

    @property
    def may_be_repeated(self) -> bool:
        """Whether we repeat it ourselves where its answer is lost; a caller that only reads asks again by itself."""
        return "idempotency_key" in self.options


class StripeApi:
    """
    Asks Stripe in one mode, within its budget.

    Args:
        key: the key in force, or None; asked for each request, since it may be rotated.
        request_seconds: deadline of one request.
    """

    def __init__(
        self,
        http: stripe.AIOHTTPClient,
        *,
        mode: str,
        key: Callable[[], str | None],
        base: str,
        budget: Budget,
        request_seconds: float,
    ) -> None:
        self.mode = mode
        self._http = http
        self._key = key
        self._base = base
        self._budget = budget
        self._request_seconds = request_seconds
        self._clients: dict[str, stripe.StripeClient] = {}

    async def get(
        self, path: str, parameters: Mapping[str, str | int] = _NOTHING, *, account: str | None = None
    ) -> Answer:
        """
        One GET, as the platform or as one of its connected accounts; waits for the budget, and as long as Stripe asks.

        Raises:
            StripeUnavailable: no good answer, RateLimited after several tries included.
            KeyMissing, KeyRefused, RightMissing, AccountClosed: the key does not open this.
            NotThere, NotUnderstood: what was asked for is not there, or no request.
        """
        options = {} if account is None else {_account_option(path): account}
        return await self._ask(_Request("get", path, parameters, options))

    async def post(self, path: str, parameters: Mapping[str, str | int] = _NOTHING) -> Answer:
        """
        One POST; as ``get``.

        An answer that is lost is asked for again under the same idempotency key: Stripe makes the change once, and
        gives the first answer again, with the secret that it shows only then.
        """
        return await self._ask(_Request("post", path, parameters, {"idempotency_key": str(uuid.uuid4())}))

    async def _ask(self, request: _Request) -> Answer:
        for tries_left in range(_TRIES - 1, -1, -1):
            await self._budget.take()
            try:
                return await self._make(request)
            except RateLimited as limited:
                pause = _PAUSE_SECONDS if limited.retry_after_seconds is None else limited.retry_after_seconds
                self._budget.pause(pause)
                logs.get_logger().warning("stripe_rate_limited", reason=limited.reason, pause_seconds=pause)
                if not tries_left:
                    raise
            except StripeUnavailable as failure:
                if not tries_left or not request.may_be_repeated:
                    raise
                self._budget.pause(_PAUSE_SECONDS)
                logs.get_logger().warning("stripe_asked_again", reason=failure.code, pause_seconds=_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    async def _make(self, request: _Request) -> Answer:
        client = self._client()
        kind = _kind(request.path)
        try:
            async with asyncio.timeout(self._request_seconds):
                response = await client.raw_request_async(
                    request.method, request.path, **request.parameters, **request.options
                )
                answer = Answer(decode_object(response.body.encode()), _moment(response.headers))
        except stripe.StripeError as error:
            failure = _failure_of(error, is_own=not request.options.keys() & _ACCOUNT_OPTIONS)
            metrics.REQUESTS.labels(self.mode, kind, failure.code).inc()
            raise failure from None  # the library's error carries the whole body
        except (TimeoutError, aiohttp.ClientError, OSError, MalformedEvent, UnicodeDecodeError) as error:
            metrics.REQUESTS.labels(self.mode, kind, StripeUnavailable.code).inc()
            raise StripeUnavailable(f"Stripe did not answer as it should ({type(error).__name__}).") from None
        metrics.REQUESTS.labels(self.mode, kind, "ok").inc()
        return answer

    def _client(self) -> stripe.StripeClient:
        key = self._key()
        if key is None:
            raise KeyMissing
        if key not in self._clients:
            self._clients = {
                key: stripe.StripeClient(
                    key, http_client=self._http, base_addresses={"api": self._base}, max_network_retries=0
                )
            }
        return self._clients[key]


@asynccontextmanager
async def http_client(*, request_seconds: float) -> AsyncIterator[stripe.AIOHTTPClient]:
    """The library's HTTP client for all modes; to be opened once, and closed at the end."""
    stripe.enable_telemetry = False
    timeout = aiohttp.ClientTimeout(total=request_seconds)
    client = stripe.AIOHTTPClient(timeout=timeout)
    try:
        yield client
    finally:
        await client.close_async()  # type: ignore[no-untyped-call]


def _failure_of(error: stripe.StripeError, *, is_own: bool) -> Failure:
    """
    Translate an error of Stripe's; none of its text is kept but the name of a right.

    Args:
        is_own: it is about the key's own account, which cannot have left.
    """
    status = error.http_status
    if (
        isinstance(error, stripe.APIConnectionError | stripe.APIError)
        or status is None
        or status == _UNDER_WAY
        or status >= _OURS
    ):
        return StripeUnavailable(f"Stripe did not answer as it should ({status or type(error).__name__}).")
    if status == _TOO_MANY:
        return RateLimited(retry_after_seconds=_retry_after(error), reason=_header(error, "Stripe-Rate-Limited-Reason"))
    if status == _UNAUTHORIZED:
        return KeyRefused()
    if status == _FORBIDDEN:
        return _forbidden(error, is_own=is_own)
    if status == _MISSING or _code(error) in _NOT_THERE:
        return NotThere()
    return NotUnderstood(f"Stripe refuses the request as wrong ({status}, {_code(error) or 'no code'}).")


def _forbidden(error: stripe.StripeError, *, is_own: bool) -> Failure:
    if _code(error) in _NO_ACCESS:
        return KeyRefused() if is_own else AccountClosed()
    named = _RIGHT.search(error.user_message or "")
    return RightMissing(named[1] if named else "to read this")


def _code(error: stripe.StripeError) -> str | None:
    """Stripe's code; some kinds of the library's errors drop it."""
    body = error.json_body
    said = body.get("error") if isinstance(body, Mapping) else None
    code = said.get("code") if isinstance(said, Mapping) else None
    return code if isinstance(code, str) else None


def _retry_after(error: stripe.StripeError) -> float | None:
    said = _header(error, "Retry-After")
    return None if said is None else seconds_of(said)


def seconds_of(retry_after: str) -> float | None:
    """A pause in seconds, an hour at most, of a number or a date as HTTP allows both; None: it is neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), _LONGEST_PAUSE_SECONDS)


def _header(error: stripe.StripeError, name: str) -> str | None:
    headers: Mapping[str, str] = error.headers or {}
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)


def _moment(headers: Mapping[str, str]) -> int:
    """Stripe's own time, for ours may be wrong; ours where it does not say."""
    with contextlib.suppress(ValueError):
        return int(parsedate_to_datetime(headers.get("Date", "")).timestamp())
    return int(time.time())


def _account_option(path: str) -> str:
    """The library's name for the account that a request is about, which differs between Stripe's two APIs."""
    return "stripe_context" if path.startswith("/v2/") else "stripe_account"


def _kind(path: str) -> str:
    """Name the kind of a request, for a metric: ``events``, ``webhook_endpoints``, …; never an id."""
    parts = path.strip("/").split("?")[0].split("/")
    return parts[2] if parts[0] == "v2" else parts[1]
