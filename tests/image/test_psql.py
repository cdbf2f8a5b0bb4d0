"""psql of the image, on a database like the pod's, with a file in psql's place that shows what it was given."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.options import ROOT

URL = "postgresql://ada:p%40ss%3Aword@db.example:6432/books?sslmode=verify-full&sslrootcert=/etc/ca.pem"
SHOW = '#!/bin/sh\nfor one in "$@"; do echo "argument $one"; done\nenv | grep ^PG | sort\n'


@pytest.fixture
def psql(tmp_path: Path) -> Path:
    """The script, with something in psql's place that prints its arguments and libpq's variables."""
    for folder in ("bin", "lib"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lib/psql").write_text(SHOW, encoding="utf-8")
    (tmp_path / "lib/psql").chmod(0o755)
    shutil.copy(ROOT / "docker/psql.py", tmp_path / "bin/psql")
    return tmp_path / "bin/psql"


def _given(psql: Path, *arguments: str, **environment: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, psql, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()


def test_the_pods_address_goes_by_the_environment_and_no_argument(psql: Path) -> None:
    """Arguments are for every process of the pod to read."""
    assert _given(psql, "-Atc", "SELECT 1", DATABASE_URL=URL) == [
        "argument -Atc",
        "argument SELECT 1",
        "PGDATABASE=books",
        "PGHOST=db.example",
        "PGPASSWORD=p@ss:word",
        "PGPORT=6432",
        "PGSSLMODE=verify-full",
        "PGSSLROOTCERT=/etc/ca.pem",
        "PGUSER=ada",
    ]


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://ada@[2001:db8::1]:5433/books", "2001:db8::1", "5433"),
        ("postgresql://ada@[2001:db8::1]/books", "2001:db8::1", None),
        ("postgresql://ada@one:5432,two:5433/books", "one,two", "5432,5433"),
        ("postgresql://ada@one,two/books", "one,two", None),
        ("postgresql://ada@%2Frun%2Fpostgresql/books", "/run/postgresql", None),
        ("postgresql://ada@/books?host=/run/postgresql&port=5499", "/run/postgresql", "5499"),
    ],
)
def test_each_form_of_an_address_is_understood(psql: Path, url: str, host: str, port: str | None) -> None:
    """IPv6, several hosts, and a socket's folder."""
    given = dict(line.split("=", 1) for line in _given(psql, DATABASE_URL=url))
    assert (given["PGHOST"], given.get("PGPORT")) == (host, port)


def test_a_mounted_address_is_read(psql: Path, tmp_path: Path) -> None:
    """As the chart mounts it."""
    (tmp_path / "url").write_text(f"{URL}\n", encoding="utf-8")
    assert "PGHOST=db.example" in _given(psql, DATABASE_URL_FILE=str(tmp_path / "url"))


@pytest.mark.parametrize(
    "told", ["postgresql://other.example/x", "-hother.example", "--host=other.example", "host=other.example", "-dx"]
)
def test_another_server_is_not_told_our_password(psql: Path, told: str) -> None:
    """A person who names a server names its login too."""
    assert _given(psql, told, DATABASE_URL=URL) == [f"argument {told}"]
