"""A base image without a registry: the files of the Debian packages that this machine has installed."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_PACKAGES = (
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "libc-bin",
    "passwd",
    "python3-venv",
    "sed",
    "ca-certificates",
)
_LEAVES_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/")
_MERGED = ("/bin", "/sbin", "/lib", "/lib64")
# The authorities are this machine's own, as those of a company would be: packages may come through its proxy.
_CONFIGURATION = (
    "/etc/passwd",
    "/etc/group",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ld.so.cache",
    "/usr/bin/python3",
    "/usr/bin/sh",
)


def write_base(archive: Path) -> None:
    """A root file system with Python and `venv`, as a tar archive."""
    listed = "\0".join(sorted(set(_files()) | set(_CONFIGURATION)))
    command = ["tar", "--create", "--file", str(archive), "--no-recursion", "--null", "--files-from=-"]
    subprocess.run(command, cwd="/", input=listed, text=True, check=True, capture_output=True, timeout=60)


def _files() -> Iterator[str]:
    yield from (path for path in _MERGED if Path(path).is_symlink())
    for line in _output("dpkg-query", "--listfiles", *_closure()).splitlines():
        if line.startswith("/") and line != "/." and not line.startswith(_LEAVES_OUT) and not _is_below_a_link(line):
            yield line
        elif _is_below_a_link(line):
            yield str(Path(line).parent.resolve() / Path(line).name)


def _is_below_a_link(path: str) -> bool:
    return path.startswith(tuple(f"{link}/" for link in _MERGED if Path(link).is_symlink()))


def _closure() -> Sequence[str]:
    """Those packages with all that they depend on and that is installed."""
    without = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    told = _output("apt-cache", "depends", "--recurse", "--installed", *without, *_PACKAGES)
    return sorted({line for line in told.splitlines() if line and line[0] not in " <|"})


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
