"""The file that takes a new signing secret: ours alone from its first byte, and never one that is there already."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import click

_OWNER_ALONE = 0o600


class Keep(Protocol):
    """Writes the secret."""

    def __call__(self, secret: str) -> None:
        """Once."""


@contextmanager
def secret_file(path: Path) -> Iterator[Keep]:
    """
    Open a new file before the secret exists, so that it has a place; without a secret nothing stays behind.

    Raises:
        click.ClickException: the file is there already, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_ALONE)
    except FileExistsError as error:
        raise click.ClickException(f"{path} is there already, and no file is overwritten. Name a new one.") from error
    except OSError as error:
        raise click.ClickException(f"{path} cannot be made: {error.strerror}.") from error
    is_written = False

    def keep(secret: str) -> None:
        nonlocal is_written
        os.write(descriptor, f"{secret}\n".encode())
        os.fsync(descriptor)
        is_written = True

    try:
        yield keep
    finally:
        os.close(descriptor)
        if not is_written:
            with suppress(FileNotFoundError):
                path.unlink()
