"""How a fetch is shared among those who want much of it."""

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from processor.bulkhead.fair_share import LEAST_ROOM, LEAST_SHARE, loud_parties, share_of_each

FETCHES = st.lists(st.integers(1, 500), min_size=1, max_size=30)
"""How many events each party has in one fetch."""


def in_company(counts: Sequence[int]) -> Sequence[int]:
    """How many events of each party run in company while a quiet one waits."""
    size = sum(counts)
    loud = loud_parties({str(party): count for party, count in enumerate(counts)}, size=size)
    share = share_of_each(loud.values(), size=size)
    return [min(count, share) if str(party) in loud else count for party, count in enumerate(counts)]


def of_the_loud(counts: Sequence[int]) -> int:
    """How many of those are of loud parties."""
    least = max(LEAST_SHARE, sum(counts) // 20)
    return sum(kept for count, kept in zip(counts, in_company(counts), strict=True) if count > least)


@given(FETCHES)
@example([125] * 4)
@example([50] * 10)
def test_all_loud_parties_together_have_a_fourth_or_a_twentieth_each(counts: Sequence[int]) -> None:
    """However many there are; up to five of them, that is a fourth of the fetch."""
    size = sum(counts)
    least = max(LEAST_SHARE, size // 20)
    loud = sum(count > least for count in counts)
    assert of_the_loud(counts) <= max(LEAST_ROOM, size // 4, loud * least)


@given(FETCHES)
def test_a_quiet_party_has_all_that_it_wants(counts: Sequence[int]) -> None:
    """A twentieth of a fetch is never too much, nor are five events."""
    least = max(LEAST_SHARE, sum(counts) // 20)
    assert all(kept >= min(count, least) for count, kept in zip(counts, in_company(counts), strict=True))


@given(FETCHES)
def test_a_party_held_back_has_as_much_as_any_other(counts: Sequence[int]) -> None:
    """No party gains by sending more, and none that is loud has more than another that was held back."""
    kept = in_company(counts)
    held_back = [has for count, has in zip(counts, kept, strict=True) if has < count]
    assert all(has == max(kept) for has in held_back)


@given(FETCHES)
def test_no_room_is_left_while_a_party_is_held_back(counts: Sequence[int]) -> None:
    """But for less than one event each, which cannot be shared evenly."""
    kept = in_company(counts)
    room = max(LEAST_ROOM, sum(counts) // 4)
    is_held_back = any(has < count for count, has in zip(counts, kept, strict=True))
    assert not is_held_back or of_the_loud(counts) > room - len(counts)
