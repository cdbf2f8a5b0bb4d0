"""Texts that can be no webhook secret."""

from pathlib import Path

import pytest

from sluice.webhook_secret import configured_faults, fault_of

GOOD = "whsec_8f1ZtQ0mN4kXw2"


@pytest.mark.parametrize("secret", [GOOD, "a" * 16, "whsec_" + "a" * 200, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+/="])
def test_what_may_be_a_secret_is_none_of_our_business(secret: str) -> None:
    """Stripe may change what it looks like."""
    assert fault_of(secret) is None


@pytest.mark.parametrize(
    ("secret", "word"),
    [
        (f'"{GOOD}"', "quotes"),
        (f"'{GOOD}'", "quotes"),
        (f"`{GOOD}", "quotes"),
        (f"\u201c{GOOD}\u201d", "quotes"),
        (f"\ufeff{GOOD}", "byte order mark"),
        (f"{GOOD} {GOOD}", "white space"),
        (f"{GOOD}\n{GOOD}", "white space"),
        (f"{GOOD}\u00a0{GOOD}", "white space"),
        (f"{GOOD}\u200b", "character that no secret"),
        (f"{GOOD}\x00", "character that no secret"),
        ("whsec_\u2026\u2026\u2026\u2026\u2026\u2026\u2026\u2026\u2026\u2026", "character that no secret"),
        ("sk_live_51Abcdefghijklmnop", "API key"),
        ("rk_test_51Abcdefghijklmnop", "API key"),
        ("pk_live_51Abcdefghijklmnop", "API key"),
        ("https://example.com/api/stripe-webhook", "URL"),
        ("we_1QAbcdefghijklmnop", "id in Stripe"),
        (f"STRIPE_WEBHOOK_SECRET={GOOD}", "name of a setting"),
        ("whsec_short", "fewer than 16"),
        ("x", "fewer than 16"),
        ("a" * 256, "more than 255"),
    ],
)
def test_what_can_be_no_secret_is_told_without_it(secret: str, word: str) -> None:
    """By the fault that a person can see."""
    fault = fault_of(secret)
    assert fault is not None
    assert word in fault
    assert secret not in fault


def test_the_configured_secrets_are_looked_at_one_by_one(tmp_path: Path) -> None:
    """In a file or in the environment; a file that is not there yet is no fault."""
    assert configured_faults("S", {"S": f" {GOOD}, {GOOD}x "}) == []
    assert configured_faults("S", {}) == []
    (told,) = configured_faults("S", {"S": f"{GOOD},sk_live_51Abcdefghijklmnop"})
    assert told.startswith("of its 2 secrets the 2.: ")
    file = tmp_path / "secret"
    assert configured_faults("S", {"S_FILE": str(file)}) == []
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    (told,) = configured_faults("S", {"S_FILE": str(file)})
    assert "byte order mark" in told
