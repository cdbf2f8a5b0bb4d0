#!/opt/sluice/bin/python
"""
Run psql with its own libraries; without an address of its own it speaks to the database that the pod is for.

The address goes by libpq's environment variables: arguments are for every process of the pod to read.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

LIBRARIES = Path(__file__).resolve().parent.parent / "lib"
_NAMES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "application_name": "PGAPPNAME",
    "passfile": "PGPASSFILE",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "gssencmode": "PGGSSENCMODE",
    "options": "PGOPTIONS",
    "sslcert": "PGSSLCERT",
    "sslcrl": "PGSSLCRL",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


def has_address(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether psql is told where to go: then it must not learn our password."""
    if environment.get("PGHOST") or environment.get("PGSERVICE"):
        return True
    return any(
        one.startswith(("-h", "--host", "-d", "--dbname", "host=", "service=")) or "://" in one for one in arguments
    )


def address(environment: Mapping[str, str]) -> str:
    """The pod's, as the services are given it; empty: there is none."""
    file = environment.get("DATABASE_URL_FILE", "")
    return environment.get("DATABASE_URL", "") or (Path(file).read_text(encoding="utf-8").strip() if file else "")


def variables(url: str) -> Mapping[str, str]:
    """The same as libpq's environment variables; a parameter that has none is left out."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    split = [_host_and_port(one) for one in hosts.split(",")]
    told = {
        "host": ",".join(unquote(host) for host, _ in split),
        "port": ",".join(port for _, port in split) if any(port for _, port in split) else "",
        "user": unquote(user),
        "password": unquote(password),
        "dbname": unquote(parts.path.removeprefix("/")),
        **dict(parse_qsl(parts.query)),
    }
    return {_NAMES[name]: value for name, value in told.items() if value and name in _NAMES}


def _host_and_port(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, ""
    return host.strip("[]"), port


def main(arguments: Sequence[str]) -> None:
    """Become psql."""
    program = LIBRARIES / "psql"
    if not program.exists():
        sys.stderr.write("This image has no psql: it was built on a base without apt-get.\n")
        raise SystemExit(127)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(LIBRARIES)}
    if not has_address(arguments, environment):
        environment.update(variables(address(environment)))
    os.execve(program, [str(program), *arguments], environment)  # noqa: S606 - no shell, and nothing of it is ours to judge


if __name__ == "__main__":
    main(sys.argv[1:])
