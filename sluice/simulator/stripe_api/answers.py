"""Stripe's refusals, in its own words."""

from dataclasses import dataclass

import orjson
from aiohttp import web

from sluice.contract.document import Json, JsonObject

REQUEST_ID = "req_offline"


@dataclass(eq=False)
class Refusal(Exception):
    """A request that Stripe answers with an error."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry_after_seconds: float | None = None
    reason: str | None = None
    """Value of ``Stripe-Rate-Limited-Reason``."""


def unauthorized(key: str) -> Refusal:
    """No key of this account."""
    return Refusal(401, f"Invalid API Key provided: {_hidden(key)}")


def expired(key: str) -> Refusal:
    """A key that was revoked."""
    return Refusal(401, f"Expired API Key provided: {_hidden(key)}", code="api_key_expired")


def without_right(key: str, right: str) -> Refusal:
    """A restricted key that lacks a right."""
    return Refusal(
        403,
        f"The provided key '{_hidden(key)}' does not have the required permissions for this endpoint. "
        f"Having the '{right}' permission would allow this request to continue.",
    )


def without_access(key: str, account: str) -> Refusal:
    """A connected account that this platform has no access to, or that revoked it."""
    return Refusal(
        403,
        f"The provided key '{_hidden(key)}' does not have access to account '{account}' (or that account does not "
        "exist). Application access may have been revoked.",
        code="account_invalid",
    )


def not_found(kind: str, thing: str, *, param: str = "id", status: int = 404) -> Refusal:
    """No such object, or none any more."""
    return Refusal(status, f"No such {kind}: '{thing}'", code="resource_missing", param=param)


def invalid(message: str, param: str) -> Refusal:
    """A parameter that Stripe does not take."""
    return Refusal(400, message, param=param)


def reused(key: str) -> Refusal:
    """An idempotency key that came with another request before."""
    return Refusal(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a "
        f"key other than '{key}' if you meant to execute a different request.",
        type="idempotency_error",
    )


def refused(refusal: Refusal) -> web.Response:
    """The refusal as Stripe sends it."""
    error: dict[str, Json] = {"message": refusal.message, "type": refusal.type}
    error |= {"code": refusal.code} if refusal.code else {}
    error |= {"param": refusal.param} if refusal.param else {}
    headers = {"Request-Id": REQUEST_ID}
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = f"{refusal.retry_after_seconds:g}"
    if refusal.reason is not None:
        headers["Stripe-Rate-Limited-Reason"] = refusal.reason
    return _json({"error": error}, status=refusal.status, headers=headers)


def answered(document: JsonObject) -> web.Response:
    """A good answer."""
    return _json(document, status=200, headers={"Request-Id": REQUEST_ID})


def _json(document: JsonObject, *, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, headers=headers, content_type="application/json")


def _hidden(key: str) -> str:
    return f"{key[:8]}{'*' * 8}"
