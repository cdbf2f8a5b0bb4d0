"""Strings that a stranger would put where Stripe's, or an organiser's, are expected."""

from tests.console.serving import Asked

SCRIPT = "<script>alert(1)</script>"
QUOTES = "\"' onmouseover='alert(2)' x=\""
BIDI = "\u202egnp.exe\u2066"
CONTROL = "\x1b[2Jbell\x07"
HOSTILE = f"{SCRIPT}{QUOTES}{BIDI}{CONTROL}"


def assert_harmless(page: Asked) -> None:
    """Nothing of HOSTILE is on the page as it is, and it is there in a form that can be read."""
    assert page.status == 200
    assert SCRIPT not in page.text
    assert "onmouseover='" not in page.text
    assert not set("\u202e\u2066\x1b\x07") & set(page.text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert r"\u202egnp.exe\u2066" in page.text
