"""The pages of operations: who did what and why, how far it is, what became of each item."""

import pytest
import pytest_asyncio

from console.pages.operations import items, listing
from sluice.inbox.operations import Decision, carry_out
from sluice.inbox.states import State
from sluice.operations import book
from sluice.operations.filters import Filter
from sluice.operations.run import Runner
from sluice.operations.verbs import Verb
from sluice.postgres.pool import Connection, Database
from tests.console.hostile import HOSTILE, assert_harmless
from tests.console.serving import Person
from tests.operations.rows import put_error, put_in

EVERYTHING = Filter()
WHY = Decision("ada@example.com", "the handler is mended")


@pytest_asyncio.fixture
async def dead(database: Database) -> Database:
    """Four dead webhooks."""
    async with database.acquire() as connection:
        for number in range(4):
            await put_in(connection, f"evt_{number}", State.DEAD)
    return database


async def _start(connection: Connection, verb: Verb, chosen: Filter = EVERYTHING) -> int:
    return await book.start(connection, verb, chosen, WHY)


async def _run(connection: Connection, number: int) -> None:
    await Runner(connection, number, lambda _: None).run()


async def _do(connection: Connection, number: int, at_most: int) -> None:
    async with connection.transaction(isolation="read_committed"):
        await carry_out(connection, number, after=0, at_most=at_most, gives_up=False)


async def test_running_operations_come_before_past_ones(dead: Database, viewer: Person) -> None:
    """With their progress, the person and the reason."""
    async with dead.acquire() as connection:
        await _run(connection, await _start(connection, Verb.REPLAY, Filter(ids=["evt_0"])))
        await _do(connection, await _start(connection, Verb.WRITE_OFF), 1)
    page = await viewer.get("/operations")
    running, past = page.text.split("<h2>Past</h2>")
    assert 'href="/operations/2">2 write-off' in running
    assert "1 of 3" in running
    assert 'href="/operations/1">1 replay' in past
    assert "the handler is mended" in past
    assert "ada@example.com" in past


async def test_a_running_one_is_found_among_many_newer_ones(
    dead: Database, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands on the first page, however many began and ended since."""
    monkeypatch.setattr(listing, "PAGE_ROWS", 2)
    async with dead.acquire() as connection:
        await _start(connection, Verb.WRITE_OFF)
        for _ in range(3):
            await _run(connection, await _start(connection, Verb.RESOLVE))
    page = await viewer.get("/operations")
    assert 'href="/operations/1">1 write-off' in page.text.split("<h2>Past</h2>")[0]
    assert 'href="/operations?before=3"' in page.text
    assert 'href="/operations/2">2 resolve' in (await viewer.get("/operations?before=3")).text


async def test_an_operation_shows_what_became_of_each_item(dead: Database, viewer: Person) -> None:
    """One that was changed, with its state before and after; one that was not fit when its turn came."""
    async with dead.acquire() as connection:
        number = await _start(connection, Verb.WRITE_OFF, Filter(ids=["evt_0", "evt_1"]))
        await connection.execute("UPDATE webhook_logs SET dead_at = NULL WHERE stripe_event_id = 'evt_1'")
        await _run(connection, number)
    page = await viewer.get(f"/operations/{number}")
    assert "2 of 2" in page.text
    first, second = page.text.split('href="/webhooks/evt_')[-2:]
    assert ("state-dead" in first, "state-written_off" in first) == (True, True)
    assert "unfit" in second
    only = await viewer.get(f"/operations/{number}?result=unfit")
    assert "/webhooks/evt_0" not in only.text
    assert "/webhooks/evt_1" in only.text


async def test_pages_of_items_hold_each_once(dead: Database, viewer: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those whose turn has not come, and also where a page may look through one item alone."""
    monkeypatch.setattr(items, "PAGE_ROWS", 1)
    async with dead.acquire() as connection:
        number = await _start(connection, Verb.REPLAY)
        await _do(connection, number, 2)
    assert await _positions(viewer, f"/operations/{number}") == [0, 1, 2, 3]
    assert await _positions(viewer, f"/operations/{number}?result=to+come") == [2, 3]
    monkeypatch.setattr(items, "LOOK_THROUGH", 1)
    assert await _positions(viewer, f"/operations/{number}?result=changed") == [0, 1]


async def _positions(viewer: Person, path: str) -> list[int]:
    seen: list[int] = []
    while path:
        text = (await viewer.get(path)).text
        seen += [int(part[0]) for part in text.split('href="/webhooks/evt_')[1:]]
        path = text.split('rel="next" href="')[1].split("#")[0].replace("&amp;", "&") if 'rel="next"' in text else ""
    return seen


async def test_very_many_open_items_are_not_counted(
    dead: Database, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place of the first open item tells how many are done."""
    monkeypatch.setattr(listing, "_OPEN_AT_MOST", 1)
    async with dead.acquire() as connection:
        number = await _start(connection, Verb.REPLAY)
        await _do(connection, number, 1)
    assert "1 of 4" in (await viewer.get(f"/operations/{number}")).text


async def test_an_operation_that_nobody_carries_out_says_so(
    dead: Database, viewer: Person, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that goes on with it; an operator has the button."""
    monkeypatch.setattr(listing, "_SILENT_SECONDS", -1)
    async with dead.acquire() as connection:
        number = await _start(connection, Verb.REPLAY)
    page = await viewer.get(f"/operations/{number}")
    assert f"sluice operations resume {number}" in page.text
    assert "/resume" not in page.text
    assert f'action="/operations/{number}/resume"' in (await operator.get(f"/operations/{number}")).text


async def test_an_operator_cancels_it_from_its_page(dead: Database, operator: Person, viewer: Person) -> None:
    """The page says then who did; a viewer has no form."""
    async with dead.acquire() as connection:
        number = await _start(connection, Verb.REPLAY)
    path = f"/operations/{number}"
    assert "/cancel" not in (await viewer.get(path)).text
    after = await operator.post(f"{path}/cancel", path)
    assert after.path == path
    assert "by ada@example.com. What was done stays done." in after.text
    assert "/cancel" not in after.text


async def test_a_write_off_is_undone_from_its_page(dead: Database, operator: Person) -> None:
    """Both pages lead to each other, and it is offered once."""
    async with dead.acquire() as connection:
        number = await _start(connection, Verb.WRITE_OFF)
        await _run(connection, number)
    undone = await operator.post(f"/operations/{number}/undo", f"/operations/{number}", reason="too early")
    assert f'undo of <a href="/operations/{number}"' in undone.text
    page = await operator.get(f"/operations/{number}")
    assert f'by <a href="{undone.path}"' in page.text
    assert "/undo" not in page.text


async def test_items_of_a_resolve_lead_to_the_errors(database: Database, viewer: Person) -> None:
    """Also those of its undoing."""
    async with database.acquire() as connection:
        error = await put_error(connection, None)
        number = await _start(connection, Verb.RESOLVE)
        await _run(connection, number)
        resolve = await book.read(connection, number)
        assert resolve is not None
        undo = await book.start_undo(connection, resolve, WHY)
    for one in (number, undo):
        assert f'href="/errors?id={error}&amp;show=all"' in (await viewer.get(f"/operations/{one}")).text


async def test_what_people_wrote_is_shown_as_text(dead: Database, viewer: Person) -> None:
    """A reason, a name, a filter and the key of a webhook."""
    async with dead.acquire() as connection:
        await put_in(connection, "evt_x", State.DEAD)
        await connection.execute(
            "UPDATE webhook_logs SET stripe_event_id = $1 WHERE stripe_event_id = 'evt_x'", HOSTILE
        )
        chosen = Filter(ids=[HOSTILE])
        number = await book.start(connection, Verb.WRITE_OFF, chosen, Decision(HOSTILE, HOSTILE))
    assert_harmless(await viewer.get("/operations"))
    assert_harmless(await viewer.get(f"/operations/{number}"))


async def test_without_operations_the_page_says_what_begins_one(viewer: Person) -> None:
    """Nothing runs, nothing ran."""
    text = (await viewer.get("/operations")).text
    assert "sluice retry" in text
    assert "None yet." in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/operations/1", 404),
        ("/operations/one", 404),
        ("/operations/99999999999999999999", 404),
        ("/operations?before=x", 400),
        ("/operations/1?result=odd", 400),
        ("/operations/1?after=-1", 400),
    ],
)
async def test_an_address_that_makes_no_sense_is_told_of(viewer: Person, path: str, status: int) -> None:
    """A page with a sentence, no error."""
    page = await viewer.get(path)
    assert page.status == status
    assert 'class="notice' in page.text
