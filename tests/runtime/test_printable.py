"""Text from elsewhere, made fit for a terminal."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.runtime import logs
from sluice.runtime.printable import printable, printable_json, printable_lines
from sluice.runtime.redact import redact

NASTY = {
    "colour": "\x1b[31mred",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "title": "\x9d0;title\x9c",
    "one-byte CSI": "\x9b2J",
    "carriage return": "paid\rfree",
    "backspace": "paid\b\b\b\bfree",
    "bidi override": "\u202ediap",
    "bidi isolate": "\u2066x\u2069",
    "line separator": "a\u2028b",
    "next line": "a\x85b",
    "zero width": "pa\u200bid",
    "byte order mark": "\ufeffpaid",
    "tag": "\U000e0041",
    "lone surrogate": "\ud800",
    "delete": "\x7f",
}
FORBIDDEN = {"Cc", "Cs", "Zl", "Zp"}
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_safe(text: str) -> bool:
    """Whether a terminal would obey nothing of it."""
    return all(unicodedata.category(c) not in FORBIDDEN and unicodedata.bidirectional(c) not in BIDI for c in text)


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text: str) -> None:
    """Nothing is left out: what was there can be read."""
    shown = printable(text)
    assert is_safe(shown)
    assert "\\" in shown


def test_every_character_of_the_kinds_is_known() -> None:
    """All of Unicode's controls, surrogates, separators and marks of direction; no letter is touched."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        assert is_safe(printable(character)), hex(code)
        if unicodedata.category(character)[0] in "LNPS":
            assert printable(character) == character, hex(code)


def test_a_newline_is_escaped_where_it_would_be_a_line_of_its_own() -> None:
    """And kept in text that has lines."""
    assert printable("a\nb\tc") == r"a\nb\tc"
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_json_means_the_same_and_is_safe(text: str) -> None:
    """Whatever the text; a lone surrogate as JSON writes it."""
    document = printable_json(json.dumps({"said": text}, ensure_ascii=False, indent=1))
    assert json.loads(document) == {"said": text}
    assert is_safe(document.replace("\n", ""))


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_logs_and_error_rows_hold_nothing_of_it(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither as JSON nor on a terminal."""
    assert is_safe(redact(text))
    logs.configure("test", "info")
    logs.get_logger().warning("said", what=text, many=[text], about={"x": text})
    assert is_safe(capsys.readouterr().err.replace("\n", ""))


def test_on_a_terminal_no_value_makes_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log line of one's own cannot be forged by what a client sends."""
    with monkeypatch.context() as terminal:
        terminal.setattr(sys.stderr, "isatty", lambda: True)
        logs.configure("test", "info")
    logs.get_logger().warning("said", what="x\n2026-11-25 [info] all is well")
    logs.configure("test", "info")
    assert len(capsys.readouterr().err.splitlines()) == 1
