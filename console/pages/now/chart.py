"""Draw the rates as one small SVG, without a script. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from console.pages.now.rates import Minute

WIDTH, HEIGHT = 720, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 22
_LABELS_EVERY = 30
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a place of an axis."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Two lines with their axes, in the units of the SVG."""

    acknowledged: str
    effects: str
    times: Sequence[Label]
    heights: Sequence[Label]
    summary: str
    """The same for a person who cannot see it."""


def draw(minutes: Sequence[Minute]) -> Chart:
    """Draw the minutes, the oldest first."""
    top = _round_up(max((max(one.acknowledged, one.effects) for one in minutes), default=0))
    return Chart(
        acknowledged=_line([one.acknowledged for one in minutes], top),
        effects=_line([one.effects for one in minutes], top),
        times=[
            Label(_x(place, len(minutes)), f"{one.at:%H:%M}")
            for place, one in enumerate(minutes)
            if one.at.minute % _LABELS_EVERY == 0
        ],
        heights=[Label(_y(height, top), f"{height:,}") for height in sorted({0, top // 2, top})],
        summary=_summary(minutes),
    )


def _line(counts: Sequence[int], top: int) -> str:
    return " ".join(f"{_x(place, len(counts)):.1f},{_y(count, top):.1f}" for place, count in enumerate(counts))


def _x(place: int, count: int) -> float:
    return _LEFT + place * (WIDTH - _LEFT - _RIGHT) / max(1, count - 1)


def _y(height: int, top: int) -> float:
    return HEIGHT - _BOTTOM - height * (HEIGHT - _TOP - _BOTTOM) / top


def _round_up(count: int) -> int:
    """Find the least of 2, 5, 10, 20, 50, … that is not below a count."""
    size = 1
    while True:
        for step in _STEPS:
            if step * size >= max(2, count):
                return step * size
        size *= 10


def _summary(minutes: Sequence[Minute]) -> str:
    if not minutes:
        return "Nothing was counted yet."
    begin: datetime = minutes[0].at
    acknowledged, effects = (sum(getattr(one, name) for one in minutes) for name in ("acknowledged", "effects"))
    return f"Since {begin:%H:%M} UTC {acknowledged:,} webhooks were acknowledged and {effects:,} took effect."
