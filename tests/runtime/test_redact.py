import pytest

from sluice.runtime.redact import HIDDEN, redact


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "sk_live_51HabcDEFghiJKL",
        "rk_test_51HabcDEFghiJKL",
        "pi_3PQabc_secret_4Zdef",
        "v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
        "4242 4242 4242 4242",
        "378282246310005",
    ],
)
def test_secrets_and_card_numbers_are_hidden(secret: str) -> None:
    """Wherever it stands in a sentence, none of it is left."""
    shown = redact(f"could not use {secret}, sorry")
    assert shown == f"could not use {HIDDEN}, sorry"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://sluice:hunter2@db:5432/sluice",
        "nats://a:hunter2@one:4222,nats://b:hunter2@two:4222",
        "postgresql://sluice:hunt/er2@db/sluice",
        "postgresql://sluice:hunt@er2@db/sluice",
    ],
)
def test_the_password_of_a_url_is_hidden(url: str) -> None:
    """The host, which helps, stays."""
    shown = redact(f"cannot reach {url}")
    assert "er2" not in shown
    assert "sluice" in shown or "one:4222" in shown


@pytest.mark.parametrize(
    "plain",
    [
        "evt_1PQabcDEF handled in 0.012 s",
        "order 4242424242424243 is no card",  # its check digit is wrong
        "at 2026-11-23T12:00:00.123456Z sequence 1763899200",
        "stripe.live.acct_1ABC.payment_intent.succeeded",
        "http://127.0.0.1:9090/status",
    ],
)
def test_what_is_no_secret_stays_readable(plain: str) -> None:
    """Ids, times, subjects and addresses are what a log is for."""
    assert redact(plain) == plain


def test_the_values_that_postgresql_quotes_are_left_out() -> None:
    """DETAIL shows rows; the sentence above it is enough."""
    text = 'duplicate key value violates unique constraint "k"\nDETAIL:  Key (email)=(ann@example.org) already exists.'
    assert redact(text).strip() == 'duplicate key value violates unique constraint "k"'


def test_a_text_cannot_forge_lines_or_break_the_database() -> None:
    """NUL, escape codes and lone surrogates are what jsonb and terminals choke on."""
    shown = redact("a\x00b\x1b[31mc\ud800d\re")
    assert not set(shown) & set("\x00\x1b\ud800\r")
    shown.encode()


def test_a_long_text_is_cut() -> None:
    """A sender of a megabyte does not fill our disk."""
    assert len(redact("x" * 10**6, limit=100)) == 100
