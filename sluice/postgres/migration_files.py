"""The migrations that are installed: Sluice's own, and those of packages with an entry point ``sluice.migrations``."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from sluice.failures import Defect

CORE_SET = "sluice"
CORE_FOLDER = Path(__file__).resolve().parents[1] / "migrations"
PREFLIGHT = "preflight.sql"
FUNCTIONS = "functions.sql"
ENTRY_POINT_GROUP = "sluice.migrations"

_CORE_NAME = re.compile(r"sprint\d+_\w+\.sql")
_TRANSACTION = re.compile(r"^(BEGIN|COMMIT);$", re.MULTILINE)
_CONCURRENT_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)", re.MULTILINE)
_NO_TRANSACTION = "-- no-transaction"
_REPEATABLE = "-- repeatable"
_REPLACED = re.compile(r"^-- replaces ([0-9a-f]{64})$", re.MULTILINE)
_DOLLAR_QUOTE = re.compile(r"\$\w*\$")


class MigrationsMissing(Defect):
    """The migration files are not where they belong; install the package again."""

    code = "migrations_missing"


@dataclass(frozen=True)
class MigrationFile:
    """
    One file of one set.

    Its first line may begin with ``-- no-transaction`` (its statements run one by one) or ``-- repeatable`` (it runs
    again whenever it has changed). ``-- replaces SHA-256``: it runs again where that earlier text of it was applied.
    """

    set_name: str
    file_name: str
    text: str

    @property
    def name(self) -> str:
        """How a person is told of it."""
        return f"{self.set_name}/{self.file_name}"

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def is_transactional(self) -> bool:
        """Whether all of it and the note that it is applied commit together."""
        return not self.text.startswith(_NO_TRANSACTION)

    def may_follow(self, checksum: str) -> bool:
        """Whether it may run where a text with this checksum was applied under its name."""
        return self.text.startswith(_REPEATABLE) or checksum in _REPLACED.findall(self.text)

    @property
    def body(self) -> str:
        """The text without its own ``BEGIN;`` and ``COMMIT;`` lines, for a caller that holds the transaction."""
        return _TRANSACTION.sub("", self.text)

    @property
    def concurrent_indexes(self) -> Sequence[str]:
        """The names of the indexes that it builds concurrently."""
        return _CONCURRENT_INDEX.findall(self.text)

    def statements(self) -> Sequence[str]:
        """Its statements one by one; each ends with a line that ends in ``;`` outside a ``$tag$`` quote."""
        found: list[str] = []
        lines: list[str] = []
        is_quoted = False
        for line in self.text.splitlines():
            code = line.split("--", 1)[0].rstrip() if not is_quoted else line.rstrip()
            lines.append(line)
            is_quoted ^= len(_DOLLAR_QUOTE.findall(code)) % 2 == 1
            if code.endswith(";") and not is_quoted:
                found.append("\n".join(lines))
                lines = []
        return found


def installed_migrations() -> Sequence[MigrationFile]:
    """Everything there is to apply, in order: Sluice's own set, then the others by name. Raises MigrationsMissing."""
    found = [*core_migrations()]
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        found += migrations_in(_folder_of(point.load(), point.name), point.name)
    return found


def core_migrations() -> Sequence[MigrationFile]:
    """Sluice's own set, without what describes or undoes it; the functions last. Raises MigrationsMissing."""
    found = migrations_in(CORE_FOLDER, CORE_SET)
    tables = [file for file in found if _CORE_NAME.fullmatch(file.file_name)]
    functions = [file for file in found if file.file_name == FUNCTIONS]
    if not tables or not functions:
        raise MigrationsMissing(f"There are no migrations in {CORE_FOLDER}: install Sluice again.")
    return [*tables, *functions]


def migrations_in(folder: Path, set_name: str) -> Sequence[MigrationFile]:
    """The ``.sql`` files directly in a folder, numbers in their names compared as numbers."""
    paths = sorted(folder.glob("*.sql"), key=lambda path: _natural(path.name))
    return [MigrationFile(set_name, path.name, path.read_text(encoding="utf-8")) for path in paths]


def preflight_query() -> str:
    """The statement that reads everything and changes nothing."""
    return (CORE_FOLDER / PREFLIGHT).read_text(encoding="utf-8")


def _folder_of(target: object, point_name: str) -> Path:
    if isinstance(target, ModuleType):
        folders: Iterable[str] = getattr(target, "__path__", ())
        for folder in folders:
            return Path(folder)
    if isinstance(target, str | Path):
        return Path(target)
    raise MigrationsMissing(
        f"The entry point {point_name!r} of {ENTRY_POINT_GROUP} names neither a package nor a path: let it name one."
    )


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
