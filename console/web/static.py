"""Style and script: two small files of our own, whose addresses change with their content."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

_FOLDER = Path(__file__).with_name("static")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    content: bytes
    content_type: str


@cache
def files() -> Mapping[str, _File]:
    """Read every file, by its name."""
    found = {}
    for file in sorted(_FOLDER.iterdir()):
        content = file.read_bytes()
        path = f"/static/{sha256(content).hexdigest()[:12]}/{file.name}"
        found[file.name] = _File(path, content, _TYPES[file.suffix])
    return found


def href_of(name: str) -> str:
    """Give the address of a file."""
    return files()[name].path


def paths() -> frozenset[str]:
    """Give the addresses of all of them."""
    return frozenset(file.path for file in files().values())


def add_static(app: web.Application) -> None:
    """Serve them."""
    for file in files().values():
        app.router.add_get(file.path, _answer(file))


def _answer(file: _File) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=file.content, content_type=file.content_type, charset="utf-8", headers=headers)

    return answer
