"""Templates: HTML from values, with everything escaped that comes from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from console.access.forms import FIELD, FORM_TOKEN
from console.access.visitor import VISITOR
from console.web.static import href_of
from sluice.runtime.printable import printable, printable_lines
from sluice.runtime.version import version

_ROOT = Path(__file__).parents[1]
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A page of the menu."""

    path: str
    title: str


MENU = web.AppKey("menu", Sequence[MenuItem])


def render(request: web.Request, template: str, *, status: int = HTTPStatus.OK, **values: object) -> web.Response:
    """
    Answer with a page.

    Args:
        template: its path below ``console/pages`` or ``console/web/templates``, such as ``now/page.html``.
        values: what it shows; ``title`` is one of them.
    """
    visitor = request.get(VISITOR)
    text = (
        _environment()
        .get_template(template)
        .render(
            visitor=visitor,
            may_act=visitor is not None and visitor.may_act,
            menu=request.app[MENU],
            path=request.path,
            form_field=FIELD,
            form_token=request.get(FORM_TOKEN, ""),
            now=datetime.now(UTC),
            **values,
        )
    )
    return web.Response(text=text, content_type="text/html", status=status)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(_ROOT / "pages"), FileSystemLoader(_ROOT / "web" / "templates")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "moment": moment,
        "age": age,
        "seconds": seconds,
        "number": number,
        "query": query,
        "machine": machine,
        "segment": segment,
        "times": times,
        "lines": lines,
    }
    environment.globals["static"] = href_of
    environment.globals["version"] = version()
    return environment


def _shown(value: object) -> object:
    """Show None as a dash, and no control or invisible character of a text from elsewhere as it is."""
    if value is None:
        return NOTHING
    return printable(value) if type(value) is str else value


def moment(at: datetime | None) -> str:
    """Show a moment in UTC, to the second."""
    return NOTHING if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def machine(at: datetime) -> str:
    """Show a moment for the ``datetime`` of a ``time`` element."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def age(at: datetime | None) -> str:
    """Show how long ago a moment was, or how far ahead it is."""
    if at is None:
        return NOTHING
    passed = (datetime.now(UTC) - at).total_seconds()
    return f"{seconds(passed)} ago" if passed >= 0 else f"in {seconds(-passed)}"


def seconds(span: float | None) -> str:
    """Show a span of time in its largest unit."""
    if span is None:
        return NOTHING
    if span < 1:
        return f"{span * 1000:.0f} ms"
    if span < _MINUTE:
        return f"{span:.1f} s"
    if span < _HOUR:
        return f"{span / _MINUTE:.0f} min"
    return f"{span / _HOUR:.0f} h" if span < 2 * _DAY else f"{span / _DAY:.0f} days"


def number(count: float | None) -> str:
    """Show a number with its thousands apart."""
    return NOTHING if count is None else f"{count:,}"


def times(count: int) -> str:
    """Say how often: never, once, 2 times."""
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")


def query(values: Mapping[str, object]) -> str:
    """Write values as the query of an address; a list gives a name several times."""
    return urlencode({name: value for name, value in values.items() if value not in (None, "", [])}, doseq=True)


def segment(key: str) -> str:
    """Write a key as one part of an address's path."""
    return quote(key, safe="@~")


def lines(text: str) -> str:
    """Keep the lines of a text, for ``pre``."""
    return _Lines(printable_lines(text))


class _Lines(str):
    """A text whose newlines are meant."""

    __slots__ = ()
