"""How much of a fetch each party may have while others wait: pure rules, no I/O."""

from collections.abc import Collection, Mapping

LEAST_ROOM = 25
"""Events of all loud parties together in a fetch that are never too many."""
LEAST_SHARE = 5
"""Events of one party in a fetch that are never too many."""
ROOM = 4
"""All loud parties together have so great a part of a fetch: one fourth."""
SHARE = 20
"""A party with no more than so great a part of a fetch is not loud: one twentieth."""


def loud_parties(counts: Mapping[str, int], *, size: int) -> Mapping[str, int]:
    """The parties that have more than a twentieth of a fetch of so many events, with their counts."""
    return {party: count for party, count in counts.items() if count > _least(size)}


def share_of_each(counts: Collection[int], *, size: int) -> int:
    """
    How many events each loud party may have in a fetch of so many, while quiet parties wait.

    Together they have a fourth of the fetch, shared evenly: what one does not use is for the others. None gets less
    than a quiet party may have.

    Args:
        counts: how many each loud party has there.
    """
    return max(_least(size), _even_share(counts, max(LEAST_ROOM, size // ROOM)))


def _even_share(counts: Collection[int], room: int) -> int:
    """The greatest share for each with which all together stay within the room."""
    parties = len(counts)
    for served, count in enumerate(sorted(counts)):
        share = room // (parties - served)
        if count > share:
            return share
        room -= count
    return max(counts, default=0)


def _least(size: int) -> int:
    return max(LEAST_SHARE, size // SHARE)
