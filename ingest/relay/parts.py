"""Divide what is published into parts of a bounded size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def parts(
    items: Iterable[T], bytes_of: Callable[[T], int], *, most_bytes: int, most_items: int | None = None
) -> Iterator[Sequence[T]]:
    """Yield runs of items, each as long as the bounds allow; one that exceeds them by itself stands alone."""
    part: list[T] = []
    held = 0
    for item in items:
        item_bytes = bytes_of(item)
        if part and (len(part) == most_items or held + item_bytes > most_bytes):
            yield part
            part, held = [], 0
        part.append(item)
        held += item_bytes
    if part:
        yield part
