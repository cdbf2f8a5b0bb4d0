"""Text drawn by rich for a terminal, with nothing in it that the terminal would obey."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sluice.runtime.printable import printable, printable_lines

T = TypeVar("T")


class Terminal(Console):
    """A console whose text is printable, whatever was put into it; its own colours stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Draw something."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable_lines(segment.text))


def printable_value(value: T) -> T:
    """The same value with every text in it on one printable line: dataclasses, mappings and sequences are walked."""
    return cast("T", _printable(value))


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _printable(getattr(value, field.name)) for field in fields(value)})
    if isinstance(value, Mapping):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value
