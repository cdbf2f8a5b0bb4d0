"""
Which SQL would take the transaction out of Sluice's hands; pure, no I/O.

PostgreSQL runs every statement of a text that comes without arguments, so a pasted script may hold its own BEGIN and
COMMIT. Inside comments, strings, DO blocks and function bodies these words are harmless: there they are text, or
PostgreSQL itself refuses them.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from sluice.failures import Defect

_CONTROL = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"})
_SESSION = frozenset({"RESET", "DISCARD", "DEALLOCATE", "LISTEN", "UNLISTEN"})
_SUSPECT = re.compile(rf"\b(?:{'|'.join(sorted(_CONTROL | _SESSION | {'SET'}))})\b", re.IGNORECASE)
_LONGEST_REMEMBERED = 10_000
_WORDS = 3  # SET LOCAL transaction_isolation

# https://www.postgresql.org/docs/current/sql-syntax-lexical.html, with standard_conforming_strings on
_TOKEN = re.compile(
    r"""
    (?P<space> [\ \t\n\r\f\v]+ | --[^\n\r]* )
  | (?P<comment> /\* )
  | (?P<text> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | \$\$.*?\$\$
            | \$(?P<tag>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)\$.*?\$(?P=tag)\$ )
  | (?P<word> [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* )
  | (?P<quoted> "(?:[^"]|"")*" )
  | (?P<end> ; )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


class TransactionControl(Defect):
    """
    A handler may not begin or end transactions, nor change its session.

    Everything that it writes commits with ``processed = true``. Use ``async with tx.transaction():`` for a savepoint,
    and ``SET LOCAL`` for a setting.
    """

    code = "transaction_control"

    def __init__(self, statement: str) -> None:
        """Name the statement by its first words."""
        super().__init__(f"A handler may not say {statement}: its transaction belongs to Sluice.")


def refuse_transaction_control(sql: str) -> None:
    """
    Let a text pass that neither begins nor ends a transaction, nor changes the session.

    Raises:
        TransactionControl: one of its statements does.
    """
    found = _remembered(sql) if len(sql) <= _LONGEST_REMEMBERED else _find(sql)
    if found is not None:
        raise TransactionControl(found)


def _find(sql: str) -> str | None:
    if _SUSPECT.search(sql) is None:
        return None
    return next((" ".join(words) for words in _beginnings(sql) if _is_control(words)), None)


_remembered = lru_cache(maxsize=512)(_find)


def _is_control(words: tuple[str, ...]) -> bool:
    first, *rest = words
    if first != "SET":
        return first in _CONTROL or first in _SESSION
    if rest[:1] == ["CONSTRAINTS"]:
        return False
    if rest[:1] != ["LOCAL"]:
        return True
    setting = "".join(rest[1:])
    return setting.startswith("TRANSACTION") or setting in {"SESSION", "STANDARD_CONFORMING_STRINGS"}


def _beginnings(sql: str) -> Iterator[tuple[str, ...]]:
    """The first words of each statement, in capitals."""
    words: list[str] = []
    is_beginning = True
    for kind, text in _tokens(sql):
        if kind == "end":
            if words:
                yield tuple(words)
            words, is_beginning = [], True
        elif is_beginning and kind in {"word", "quoted"}:
            words.append(text.strip('"').upper())
            is_beginning = len(words) < _WORDS
        else:
            is_beginning = False
    if words:
        yield tuple(words)


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Tokens as PostgreSQL would see them, without white space and comments."""
    place = 0
    while (token := _TOKEN.match(sql, place)) is not None:
        place = token.end()
        if token.lastgroup == "comment":
            place = _end_of_comment(sql, place)
        elif token.lastgroup != "space":
            yield ("text" if token["text"] is not None else str(token.lastgroup)), token[0]


def _end_of_comment(sql: str, place: int) -> int:
    """Where a comment ends that has begun; comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, place):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return len(sql)
