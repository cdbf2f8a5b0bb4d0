"""Every command that a page shows is one: shell that parses, programs, verbs and options that exist, files."""

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import pytest

from sluice.ops.commands import sluice
from tests.docs.commands import PAGES, ROOT, Block, blocks, commands_of

BLOCKS = [block for page in PAGES for block in blocks(page)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
_INLINE = re.compile(r"(?<!`)`((?:make|sluice|helm|kubectl) [^`\n]+)`(?!`)")

# Verbs with the options that the pages use, from each program's own reference.
KUBECTL: Mapping[str, str] = {
    "annotate": "",
    "apply": "-f",
    "config": "--current --namespace",
    "create": "--namespace --type --from-literal --from-file --cert --key"
    " --docker-server --docker-username --docker-password",
    "delete": "-l",
    "describe": "",
    "exec": "-it -c --",
    "get": "-o -l --sort-by",
    "logs": "--tail --previous",
    "patch": "-p",
    "port-forward": "",
    "rollout": "",
    "scale": "--replicas -l",
    "wait": "--for --timeout",
}
HELM: Mapping[str, str] = {
    "install": "--namespace --set -f",
    "repo": "",
    "rollback": "",
    "template": "",
    "test": "--logs --namespace",
    "uninstall": "",
    "upgrade": "--install --namespace --create-namespace --wait --timeout --reuse-values --set -f",
}
PLAIN = {".", "cat", "curl", "date", "docker", "echo", "export", "kill", "kind", "openssl", "pg_dump", "pip", "printf"}
PLAIN |= {"cp", "grep", "mv", "pg_basebackup", "pg_ctl", "pg_waldump", "sleep", "test", "touch"}
PLAIN |= {"pytest", "sed", "tail", "tilt", "xargs"}


def _options(words: Sequence[str]) -> list[str]:
    """Those before ``--``, without their values."""
    own = words[: words.index("--")] if "--" in words else words
    return [word.split("=", 1)[0] for word in own if word.startswith("-") and word != "-"]


def _with_verbs(known: Mapping[str, str]) -> Callable[[Sequence[str]], None]:
    def check(words: Sequence[str]) -> None:
        assert words[1] in known, f"{words[0]} has no verb {words[1]} here"
        assert set(_options(words)) <= set(known[words[1]].split()), words

    return check


def _sluice(words: Sequence[str]) -> None:
    if words[1:] and words[1] in {"--help", "--version"}:
        return
    context = click.Context(sluice)
    command = sluice.get_command(context, words[1])
    assert command is not None, f"there is no sluice {words[1]}"
    _parse(command, words[1], list(words[2:]), context)


def _mentioned(words: Sequence[str]) -> None:
    """Let a sentence leave out what the verb needs; what it says must be right."""
    try:
        _sluice(words)
    except AssertionError as error:
        if not isinstance(error.__cause__, click.MissingParameter | click.BadOptionUsage):
            raise


def _parse(command: click.Command, name: str, arguments: list[str], parent: click.Context) -> None:
    """Read the arguments as the program would, of a verb below a verb too; run nothing."""
    try:
        context = command.make_context(name, [_example(word) for word in arguments], parent)
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):  # --help, or a group alone
        return
    except click.UsageError as error:
        raise AssertionError(f"{name} {arguments}: {error.format_message()}") from error
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        below = command.get_command(context, rest[0])
        assert below is not None, f"there is no sluice {name} {rest[0]}"
        _parse(below, rest[0], rest[1:], context)


def _example(word: str) -> str:
    """A number for a word that stands for one."""
    return "7" if word == "NUMBER" else word


def _make(words: Sequence[str]) -> None:
    assert {word for word in words[1:] if "=" not in word} <= TARGETS, words


def _psql(words: Sequence[str]) -> None:
    for place, word in enumerate(words):
        assert word != "-f" or (ROOT / words[place + 1]).is_file(), words


CHECKS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "kubectl": _with_verbs(KUBECTL),
    "helm": _with_verbs(HELM),
    "sluice": _sluice,
    ".venv/bin/sluice": _sluice,
    "make": _make,
    "psql": _psql,
}


def check(words: Sequence[str], functions: set[str]) -> None:
    """Raises AssertionError for a command that cannot be typed."""
    if words[0] in CHECKS:
        CHECKS[words[0]](words)
    else:
        assert words[0] in PLAIN | functions, f"{words[0]} is no program that the pages use"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_block_is_shell_of_known_commands(block: Block) -> None:
    """As it stands: no placeholder in angle brackets, which a shell takes for a file."""
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = "".join(other.text for other in BLOCKS if other.page == block.page)
    functions = set(re.findall(r"^(\w+)\(\)", page, re.MULTILINE))
    for words in block.commands():
        if words[-1] != "()":
            check(words, functions)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_within_a_sentence_exist_too(page: Path) -> None:
    """`make …`, `sluice …`, `helm …` and `kubectl …` in prose: their verbs."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for command in _INLINE.findall(text):
        words = re.sub(r"[…|<>].*", "", command).split("`")[0].split()
        if len(words) < 2 or not re.fullmatch(r"[a-z-]+", words[1]):
            continue
        if words[0] == "make":
            _make(words[:2])
        elif words[0] == "sluice":
            for whole in commands_of(re.sub(r"[|<>].*", "", command)):
                _mentioned(whole)
        else:
            assert words[1] in (KUBECTL if words[0] == "kubectl" else HELM), command


def test_what_cannot_be_typed_is_found() -> None:
    """The checks themselves see a wrong verb, option, target and file."""
    wrong = [
        "sluice mend",
        "sluice status --until 1h",
        "sluice replay --rate fast evt_1",
        "sluice operations mend 1",
        "sluice operations undo 1",
        "sluice ls --state deaf",
        "make coffee",
        "helm mend x",
        "kubectl get --nothing",
        "psql -f no.sql",
    ]
    for line in [*wrong, "frobnicate"]:
        (words,) = commands_of(line)
        with pytest.raises(AssertionError):
            check(words, set())
