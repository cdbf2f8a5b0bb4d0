"""The comparison as a picture: bars, grouped by connections; SVG written by hand, for a chart needs no library."""

from collections.abc import Iterator, Sequence
from html import escape

from bench.compare import Row

_WIDTH, _BAR, _GAP, _LABELS = 760, 20, 26, 190
_COLOURS = {"textbook": "#b0b0b0", "textbook_light": "#8c8c8c", "aiohttp_no_op": "#d9c27a"}
_OURS = "#2f7d6d"


def draw(rows: Sequence[Row]) -> str:
    """An SVG document."""
    most = max(row.acknowledged_per_second for row in rows)
    marks = list(_marks(rows, (_WIDTH - _LABELS - 90) / most))
    height = len(rows) * _BAR + len({row.connections for row in rows}) * _GAP + 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
            "<title>Acknowledged webhooks per second</title>",
            f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
            *marks,
            "</svg>\n",
        ]
    )


def _marks(rows: Sequence[Row], scale: float) -> Iterator[str]:
    top, group = 0, 0
    for row in rows:
        if row.connections != group:
            group = row.connections
            top += _GAP
            yield _text(8, top - 7, f"{group} connection{'s' if group > 1 else ''}, webhooks per second", bold=True)
        length = row.acknowledged_per_second * scale
        colour = _COLOURS.get(row.candidate, _OURS)
        yield _text(_LABELS - 8, top + 13, row.candidate.replace("_", " "), anchor="end")
        yield f'<rect x="{_LABELS}" y="{top}" width="{length:.1f}" height="{_BAR - 4}" fill="{colour}"/>'
        figures = f"{row.acknowledged_per_second:,.0f} ({row.times_textbook:.1f} x)"
        yield _text(_LABELS + length + 6, top + 13, figures)
        top += _BAR


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.0f}" y="{y}" font-size="12" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
