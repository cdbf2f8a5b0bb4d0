"""Settings of the reconciler."""

import re
from collections.abc import Mapping, Sequence

from pydantic import Field, field_validator

from reconciler.endpoint.public_url import endpoint_url
from reconciler.stripe_api import DEFAULT_BASE
from sluice.runtime.settings import BeyondRollouts, Seconds, ServiceSettings

KEY_NAME = "STRIPE_API_KEY"
_KEY = re.compile(r"(?:rk|sk)_(live|test)_[A-Za-z0-9_]{3,255}")
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,250}|platform")


class ReconcilerSettings(ServiceSettings):
    """
    Settings of the reconciler beside those of every service.

    ``STRIPE_API_KEY`` (or ``STRIPE_API_KEY_FILE``) is no field: it may change while we run. But what can be no key is
    refused as we start.
    """

    stripe_api_base: str = Field(DEFAULT_BASE, description="address of Stripe's API")
    stripe_requests_per_second: float = Field(
        10,
        gt=0,
        le=100,
        description="requests a second to Stripe, in each mode; Stripe takes 100 in live, 25 in test mode",
    )
    stripe_request_seconds: Seconds = Field(20, description="seconds until a request to Stripe is given up")
    reconcile_every_seconds: Seconds = Field(60, description="seconds between two looks at an account")
    reconcile_overlap_seconds: int = Field(
        300,
        ge=0,
        le=7 * 86_400,
        description="seconds before the watermark that each look begins, for events that appear late",
    )
    reconcile_first_seconds: float = Field(
        3600, ge=0, le=30 * 86_400, description="seconds back that the first look at an account begins"
    )
    reconcile_accounts: str = Field(
        "", description="connected accounts besides those that the database knows: acct_…, with commas"
    )
    reconcile_accounts_excluded: str = Field(
        "", description="accounts that are not listed: acct_… or `platform`, with commas"
    )
    public_url: str = Field(
        "", description="where Stripe reaches ingest, https://your.host; without it our endpoint is not looked at"
    )
    canary_seconds: float = Field(
        300,
        ge=0,
        le=86_400,
        description="seconds between two pings of our thin destination, which needs PUBLIC_URL; 0: none",
    )
    ready_without_database_seconds: BeyondRollouts = Field(
        900, description="seconds from the start until ready although PostgreSQL was never reached"
    )

    @property
    def accounts(self) -> Sequence[str]:
        """Connected accounts that the settings add."""
        return _split(self.reconcile_accounts)

    @property
    def accounts_excluded(self) -> Sequence[str]:
        """Accounts that the settings leave out."""
        return _split(self.reconcile_accounts_excluded)

    @field_validator("reconcile_accounts", "reconcile_accounts_excluded")
    @classmethod
    def _names_accounts(cls, text: str) -> str:
        if wrong := [name for name in _split(text) if _ACCOUNT.fullmatch(name) is None]:
            raise ValueError(f"{wrong[0]!r} is no account: it must look like acct_1032D82eZvKYlo2C")
        return text

    @field_validator("public_url")
    @classmethod
    def _is_public(cls, url: str) -> str:
        return endpoint_url(url) if url else url

    @field_validator("stripe_api_base")
    @classmethod
    def _is_an_address(cls, base: str) -> str:
        if not base.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("it must start with https://")
        return base.rstrip("/")


def mode_of(key: str) -> bool | None:
    """``livemode`` of a key; None: this is no key of Stripe's."""
    found = _KEY.fullmatch(key)
    return None if found is None else found[1] == "live"


def key_fault_of(key: str) -> str | None:
    """Why a text can be no key."""
    return None if mode_of(key) is not None else "it does not look like rk_live_…, rk_test_…, sk_live_… or sk_test_…"


def keys_by_mode(keys: Sequence[str]) -> Mapping[bool, str]:
    """The key of each mode; of two the first."""
    found: dict[bool, str] = {}
    for key in keys:
        mode = mode_of(key)
        if mode is not None:
            found.setdefault(mode, key)
    return found


def key_faults(environment: Mapping[str, str]) -> Sequence[str]:
    """Why what is configured as a key now can be none; a sentence for each fault."""
    keys = _split(environment.get(KEY_NAME, ""))
    faults = dict.fromkeys(fault for key in keys if (fault := key_fault_of(key)) is not None)
    return [
        f"{KEY_NAME}: {fault}. Set it, or {KEY_NAME}_FILE, to a restricted key of Stripe's that may read events and "
        "webhook endpoints."
        for fault in faults
    ]


def _split(text: str) -> Sequence[str]:
    return tuple(dict.fromkeys(part for raw in text.split(",") if (part := raw.strip())))
