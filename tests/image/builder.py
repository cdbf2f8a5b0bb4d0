"""Builds the Dockerfile with buildah, without a daemon, a registry or a container runtime."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chart.helm import ROOT
from tests.image.base import write_base
from tests.programs import missing, program

BASE = "localhost/base:1"
_DRIVERS = ("overlay", "vfs")
_BUILD_SECONDS = 400
_BYTES = "6g"


@dataclass(frozen=True)
class Image:
    """A built image: its files, writable, and the environment that it sets."""

    root: Path
    environment: Mapping[str, str]


@contextmanager
def building(folder: Path) -> "Iterator[Builder]":
    """A builder with its base image, all in memory: thousands of small files that are not worth keeping."""
    builder = Builder(folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=711,size={_BYTES}", "tmpfs", folder], check=True)
    try:
        builder.choose_storage()
        builder.make_base()
        yield builder
        builder.clean()
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", folder], check=True)


class Builder:
    """Keeps everything of buildah's in one folder."""

    def __init__(self, folder: Path) -> None:
        self._program = program("buildah", "buildah")
        if os.geteuid() != 0:
            missing("an image is built here by root alone")
        self._folder = folder
        self._driver = _DRIVERS[-1]

    def choose_storage(self) -> None:
        """The fastest that works on this kernel."""
        self._driver = next((one for one in _DRIVERS if self._works(one)), self._driver)

    def make_base(self) -> None:
        """The image that BASE and BUILD_BASE name."""
        archive = self._folder / "base.tar"
        write_base(archive)
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, str(archive), "/")
        self._buildah("config", "--env", "PIP_CERT=/etc/ssl/certs/ca-certificates.crt", container)
        self._buildah("commit", "--quiet", "--rm", container, BASE)
        archive.unlink()

    def build(self, target: str) -> Image:
        """One target of the Dockerfile, by the command that the Makefile has for people."""
        make = [
            "make",
            "image",
            "BUILDER=buildah",
            f"BASE={BASE}",
            f"TARGET={target}",
            f"IMAGE=localhost/sluice:{target}",
        ]
        self._run(*make)
        container = self._buildah("from", f"localhost/sluice:{target}")
        told = json.loads(self._buildah("inspect", "--type", "image", f"localhost/sluice:{target}"))
        environment = dict(one.split("=", 1) for one in told["OCIv1"]["config"]["Env"])
        return Image(Path(self._buildah("mount", container)), environment)

    def clean(self) -> None:
        """Give up what is mounted."""
        self._buildah("umount", "--all")

    def _works(self, driver: str) -> bool:
        command = [self._program, "--storage-driver", driver, "info"]
        return not subprocess.run(command, env=self._environment(driver), capture_output=True, check=False).returncode

    def _buildah(self, *arguments: str) -> str:
        return self._run(self._program, *arguments)

    def _run(self, *command: str) -> str:
        env = self._environment(self._driver)
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()

    def _environment(self, driver: str) -> Mapping[str, str]:
        """Where buildah keeps images and containers, and how it runs a step: by chroot, as in any container itself."""
        storage = self._folder / f"{driver}.conf"
        folders = {"driver": driver, "graphroot": self._folder / driver, "runroot": self._folder / "run"}
        storage.write_text("[storage]\n" + "".join(f'{name} = "{value}"\n' for name, value in folders.items()))
        return {**os.environ, "CONTAINERS_STORAGE_CONF": str(storage), "BUILDAH_ISOLATION": "chroot"}
