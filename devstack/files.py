"""Small files that are whole or absent, and private from their first byte."""

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Put a file in place with mode 0600 in one step; a reader sees the old text or the new one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_or_none(path: Path) -> str | None:
    """The text of a file, or None where there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def tail(path: Path, *, start_byte: int = 0, limit_bytes: int = 8000) -> str:
    """The last bytes of a log, none of them before ``start_byte``."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start_byte, size - limit_bytes))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def size_of(path: Path) -> int:
    """Bytes in a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
