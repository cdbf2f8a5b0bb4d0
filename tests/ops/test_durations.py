import click
import pytest

from sluice.ops.durations import Span, as_words


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("48h", 172_800), ("7d", 604_800)])
def test_a_span_is_read(text: str, seconds: float) -> None:
    """A number and one letter."""
    assert Span().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "48", "h", "0h", "-1h", "1.5h", "48 h", "2w", "9999999d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    """The message shows how to write it."""
    with pytest.raises(click.BadParameter, match="48h"):
        Span().convert(text, None, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.41, "0.4 s"), (59, "59 s"), (61, "1 min 1 s"), (7200, "2 h"), (172_800, "48 h"), (273_600, "3 d 4 h")],
)
def test_seconds_in_words(seconds: float, words: str) -> None:
    """Two units at most."""
    assert as_words(seconds) == words
