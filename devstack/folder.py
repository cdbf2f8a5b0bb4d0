"""The folder in which a stack keeps everything that it leaves on disk, ``.local`` for ``make run``."""

import fcntl
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.files import read_or_none, size_of, write_private
from devstack.problems import StackProblem

LOG_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class StackFolder:
    """Its layout. Secrets have mode 0600; the folders let PostgreSQL's own user pass through and look at nothing."""

    root: Path

    @property
    def postgres(self) -> Path:
        """PostgreSQL's."""
        return self.root / "postgres"

    @property
    def nats(self) -> Path:
        """NATS's."""
        return self.root / "nats"

    @property
    def environment(self) -> Path:
        """The file of variables for other shells, there while a stack runs."""
        return self.root / "stack.env"

    @property
    def console_link(self) -> Path:
        """The console's next one-time link."""
        return self.root / "run" / "console.link"

    def log(self, name: str) -> Path:
        """The log of one service."""
        return self.root / "log" / f"{name}.log"

    def record(self, name: str) -> Path:
        """By which a later run finds that service's process."""
        return self.root / "run" / f"{name}.json"

    def prepare(self) -> None:
        """Make what is missing. Raises StackProblem where the folder cannot be written."""
        try:
            self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
            for name in ("log", "run", "secrets"):
                (self.root / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackProblem(
                f"Cannot write to {self.root} ({error.strerror}): make room or get write access there, and start again."
            ) from error

    def write_secret(self, name: str, value: str) -> Path:
        """Keep a secret for a service to read; the file's path."""
        path = self.root / "secrets" / name
        write_private(path, f"{value}\n")
        return path

    def generated_secret(self, name: str, prefix: str) -> str:
        """A secret of our own making, the same in every run."""
        known = read_or_none(self.root / "secrets" / name)
        if known:
            return known.strip()
        value = prefix + secrets.token_hex(32)
        self.write_secret(name, value)
        return value

    def write_environment(self, values: Mapping[str, str]) -> None:
        """Tell other shells; they see the old text or the new one, never a half."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
        write_private(self.environment, "".join(lines))

    def trim_logs(self) -> None:
        """Put aside logs that have grown too large; writers append, so they go on in the emptied file."""
        for log in [*(self.root / "log").glob("*.log"), self.postgres / "postgres.log", self.nats / "nats.log"]:
            if size_of(log) > LOG_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.old"))
                os.truncate(log, 0)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder against a second run; the kernel lets go when we die, however we die."""
        with (self.root / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StackProblem(
                    f"Another run is using {self.root}: it is served already; end that one first to start anew."
                ) from error
            yield
