"""
Check the prose of the code: ``python -m devstack.prose_check`` prints each fault and ends with 1 if there is any.

A docstring says what its subject does or is, so it begins with no question word; only a function that returns a bool
may begin with "Whether". A sentence names its subject, so the product says "nobody" and "whoever" nowhere.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("bench", "charts", "console", "devstack", "docker", "healthd", "ingest", "processor", "reconciler", "sluice")
CHECKED = (*PRODUCT, "examples", "tests")
EXEMPT = ("sluice/migrations",)
"""Released files never change."""

_QUESTION = re.compile(r"\s*(What|Whether|Who|Whoever|Whose|Whom)\b")
_NO_SUBJECT = re.compile(r"(?<!\")\b(nobody|somebody|anybody|everybody|whoever)\b", re.IGNORECASE)
_BOOL = re.compile(r"\b(bool|TypeGuard|TypeIs)\b")
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstring_faults(source: str) -> Iterator[str]:
    """Name each docstring of a Python file that begins with a question word."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _Documented) and _asks(node):
            yield f"{node.body[0].lineno}: the docstring begins with a question word; begin with a verb or the subject"


def word_faults(source: str) -> Iterator[str]:
    """Name each line that says "nobody", "whoever" or the like."""
    for number, line in enumerate(source.splitlines(), start=1):
        if found := _NO_SUBJECT.search(line):
            yield f'{number}: "{found[0]}" names no subject; say which process, person or part it is'


def faults(root: Path = ROOT, exempt: tuple[str, ...] = EXEMPT) -> Iterator[str]:
    """Name each fault below a folder, with its file and line."""
    for path in _files(root, exempt):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(root)
        if path.suffix == ".py":
            yield from (f"{name}:{fault}" for fault in docstring_faults(source))
        if name.parts[0] in PRODUCT and path != Path(__file__):
            yield from (f"{name}:{fault}" for fault in word_faults(source))


def _asks(node: _Documented) -> bool:
    begins = _QUESTION.match(ast.get_docstring(node, clean=False) or "")
    return begins is not None and not (begins[1] == "Whether" and _returns_bool(node))


def _returns_bool(node: _Documented) -> bool:
    returned = getattr(node, "returns", None)
    return returned is not None and _BOOL.search(ast.unparse(returned)) is not None


def _files(root: Path, exempt: tuple[str, ...]) -> Iterator[Path]:
    for room in CHECKED:
        for path in sorted((root / room).rglob("*")):
            inside = path.relative_to(root).as_posix()
            if path.suffix in {".py", ".sql"} and not inside.startswith(exempt) and "_pb2" not in path.name:
                yield path


def main() -> None:
    """Print the faults of this repository."""
    found = list(faults())
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
