"""``make reconcile`` measures what it says: all that is missing is found, at a request for each hundred."""

from bench.reconcile import measure


async def test_a_walk_through_a_long_list_finds_what_is_missing() -> None:
    """Thirty of three thousand are missing, and each hundred events cost one request."""
    measured = await measure(3_000, 30)
    assert (measured.filled, measured.requests) == (30, 30)
    assert measured.cpu_seconds < measured.seconds * 2
    assert all(size > 0 for size in measured.resident_bytes)
