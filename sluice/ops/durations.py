"""Spans of time as people write and read them."""

import re

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "y": 365 * 86_400}
_SHAPE = re.compile(r"(\d{1,6})([smhdy])")


class Span(click.ParamType[float]):
    """A span of time such as 90s, 30m, 48h, 7d or 2y, in seconds."""

    name = "span"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds that a person means."""
        if isinstance(value, int | float):
            return float(value)
        match = _SHAPE.fullmatch(value.strip())
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is no span of time; write 90s, 30m, 48h, 7d or 2y.", param, ctx)
        return float(int(match[1]) * _SECONDS[match[2]])


def as_words(seconds: float) -> str:
    """Two units at most: ``48 h``, ``2 d 3 h``, ``5 min``, ``0.4 s``."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, name, smaller, smaller_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size and not (size == 86_400 and whole <= 2 * 86_400):  # noqa: PLR2004  48 h reads better than 2 d
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"
