"""A month of trouble, in brief: the books balance, and ``sluice operations`` tells the story."""

from collections.abc import Callable

from tests.system.trouble import Addresses, Size, faults, live_through

SIZE = Size(healthy=2_000, of_each_cause=90, rate=60)


async def test_after_a_month_of_trouble_the_books_balance(database_url: str, role_url: Callable[[str], str]) -> None:
    """Each mended webhook has its effect once, the hopeless rest, nothing else changed, and all of it is on record."""
    addresses = Addresses(database_url, role_url("operator"), role_url("processor"))
    month = await live_through(addresses, SIZE)
    assert faults(month, SIZE) == []
    told = [line.split()[3:6] for line in month.story.splitlines()]
    assert told == [
        ["replay", "done", "90/90"],
        ["write-off", "done", "90/90"],
        ["replay", "done", "90/90"],
        ["undo", "done", "90/90"],
        ["write-off", "done", "90/90"],
        ["write-off", "done", "90/90"],
    ]
