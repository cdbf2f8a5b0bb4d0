"""
Text from elsewhere, fit for a terminal.

A signed body, a row or an error may carry whatever its sender likes: escape sequences that rewrite the screen, set the
clipboard or the title, marks that turn the order of letters round, invisible characters. None of them may reach
a terminal as it is. Shown instead is the escape by which Python and JSON write the character.
"""

import re

_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 but for tab and newline
_UNSEEN = (
    r"\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # bidi, zero width, line separators
    r"\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # surrogates, tags, selectors
)
UNPRINTABLE = _CONTROLS + _UNSEEN
"""The inside of a character class: all that no terminal should get, but tab and newline."""
_LINES = re.compile(f"[{UNPRINTABLE}]")
_ONE_LINE = re.compile(rf"[\t\n{UNPRINTABLE}]")
_DELETE = 0x7F
_NAMES = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(text: str) -> str:
    """Make one printable line of a text; newlines are escaped too, so that it cannot add a line of its own."""
    return _ONE_LINE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Text that may have several lines."""
    return _LINES.sub(_escape, text)


def printable_json(document: str) -> str:
    """A JSON document with the same meaning; what its encoder left as it is, is escaped."""
    return _LINES.sub(_escape_json, document)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in _NAMES:
        return _NAMES[character]
    return (
        character.encode("ascii", "backslashreplace").decode()
        if ord(character) > _DELETE
        else f"\\x{ord(character):02x}"
    )


def _escape_json(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
