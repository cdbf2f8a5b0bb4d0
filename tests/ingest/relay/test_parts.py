"""Parts of what is published keep their bounds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.relay.parts import parts

SIZES = st.lists(st.integers(0, 20), max_size=30)


@given(sizes=SIZES, most_bytes=st.integers(1, 30), most_items=st.none() | st.integers(1, 5))
def test_parts_hold_all_items_in_order_and_no_more_than_they_may(
    sizes: list[int], most_bytes: int, most_items: int | None
) -> None:
    """And none is shorter than it must be: the next item would not have fitted."""
    divided = list(parts(sizes, lambda size: size, most_bytes=most_bytes, most_items=most_items))
    assert [size for part in divided for size in part] == sizes
    for part in divided:
        assert len(part) == 1 or sum(part) <= most_bytes
        assert 1 <= len(part) <= (most_items or len(sizes))
    for part, following in pairwise(divided):
        assert len(part) == most_items or sum(part) + following[0] > most_bytes
