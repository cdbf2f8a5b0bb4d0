"""The page of errors: its filters, its pages, and the way to resolve."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from console.pages.errors import listing
from tests.console.hostile import HOSTILE, assert_harmless
from tests.console.serving import Person
from tests.ops.rows import Connection, connected, insert, insert_webhook

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_CHOSEN = re.compile(r'name="id" value="([^"]+)"')
_IDS = re.compile(r'id="error-([^"]+)"')


async def _error(connection: Connection, message: str, **columns: object) -> None:
    row = {"severity": "error", "kind": "webhook", "service": "processor", "created_at": NOON}
    await insert(connection, "error_logs", message=message, **{**row, **columns})


async def test_unresolved_errors_are_shown_with_their_webhook(database_url: str, viewer: Person) -> None:
    """Those that are resolved only when they are asked for."""
    async with connected(database_url) as connection:
        await _error(connection, "no such seat", stripe_event_id="evt_1", request_data='{"handler": "seats.release"}')
        await _error(connection, "long gone", resolved=True)
    page = await viewer.get("/errors")
    assert "no such seat" in page.text
    assert 'href="/webhooks/evt_1"' in page.text
    assert "seats.release" in page.text
    assert "long gone" not in page.text
    assert "long gone" in (await viewer.get("/errors?show=resolved")).text
    everything = (await viewer.get("/errors?show=all")).text
    assert "long gone" in everything
    assert "no such seat" in everything


@pytest.mark.parametrize(
    "query",
    [
        "severity=critical",
        "service=ingest",
        "kind=database",
        "handler=a.b",
        "error=needle",
        "id=evt_2",
        "since=2026-11-23T12:30Z",
        "until=2026-11-23T11:30Z",
    ],
)
async def test_each_field_of_the_filter_finds_its_errors_alone(database_url: str, viewer: Person, query: str) -> None:
    """Every other error differs in this one field."""
    differing: dict[str, dict[str, object]] = {
        "severity=critical": {"severity": "critical"},
        "service=ingest": {"service": "ingest"},
        "kind=database": {"kind": "database"},
        "handler=a.b": {"request_data": '{"handler": "a.b"}'},
        "error=needle": {},
        "id=evt_2": {"stripe_event_id": "evt_2"},
        "since=2026-11-23T12:30Z": {"created_at": NOON + timedelta(hours=1)},
        "until=2026-11-23T11:30Z": {"created_at": NOON - timedelta(hours=1)},
    }
    async with connected(database_url) as connection:
        await _error(connection, "the other one", stripe_event_id="evt_1")
        await _error(connection, "the needle", **differing[query])
    page = await viewer.get(f"/errors?{query}")
    assert "the needle" in page.text
    assert "the other one" not in page.text


async def test_an_error_is_found_by_its_own_id_though_resolved(database_url: str, viewer: Person) -> None:
    """As an operation's page links to it."""
    async with connected(database_url) as connection:
        await _error(connection, "the other one")
        await _error(connection, "this one", resolved=True)
        number = await connection.fetchval("SELECT id FROM error_logs WHERE message = 'this one'")
    page = await viewer.get(f"/errors?id={number}")
    assert "this one" in page.text
    assert "the other one" not in page.text
    assert (await viewer.get("/errors?id=99999999999999999999")).status == 200


async def test_pages_of_the_list_hold_each_error_once(
    database_url: str, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of one moment, and where a page may look through three errors alone."""
    monkeypatch.setattr(listing, "PAGE_ROWS", 2)
    async with connected(database_url) as connection:
        for number in range(13):
            await _error(
                connection,
                "one",
                severity="info" if number % 3 else "high",
                created_at=NOON + timedelta(minutes=number // 4),
            )
        highs = await connection.fetch(
            "SELECT id FROM error_logs WHERE severity = 'high' ORDER BY created_at DESC, id DESC"
        )
    assert sorted(await _ids(viewer, "/errors"), key=int) == [str(number) for number in range(1, 14)]
    monkeypatch.setattr(listing, "LOOK_THROUGH", 3)
    assert await _ids(viewer, "/errors?severity=high") == [str(row["id"]) for row in highs]


async def _ids(viewer: Person, path: str) -> list[str]:
    seen: list[str] = []
    while path:
        text = (await viewer.get(path)).text
        seen += _IDS.findall(text)
        path = text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&") if 'rel="next"' in text else ""
    return seen


async def test_an_operator_resolves_those_that_are_ticked(database_url: str, operator: Person, viewer: Person) -> None:
    """The boxes lead to the action with these ids; a viewer has none."""
    async with connected(database_url) as connection:
        await _error(connection, "one")
        await _error(connection, "two")
    text = (await operator.get("/errors")).text
    chosen = _CHOSEN.findall(text)
    assert len(chosen) == 2
    assert 'action="/act/resolve"' in text
    assert not _CHOSEN.findall((await viewer.get("/errors")).text)
    act = f"/act/resolve?id={chosen[0]}"
    assert (await operator.get(act)).status == 200


async def test_the_note_of_a_resolved_error_is_shown(database_url: str, viewer: Person) -> None:
    """With who resolved it, and the operation."""
    async with connected(database_url) as connection:
        await _error(connection, "one", resolved=True, resolved_at=NOON)
        error = await connection.fetchval("SELECT id::text FROM error_logs")
        async with connection.transaction():
            number = await connection.fetchval(
                "INSERT INTO operation (verb, filter, reason, person) "
                "VALUES ('resolve', '{}', 'only noise', 'ada') RETURNING id"
            )
            await insert(connection, "operation_item", operation_id=number, position=1, item_id=error)
        await connection.execute("UPDATE operation_item SET done_at = now(), result = 'changed'")
    page = await viewer.get("/errors?show=resolved")
    assert "by ada: only noise" in page.text
    assert f'href="/operations/{number}"' in page.text


async def test_the_whole_filter_is_resolved_only_where_the_action_finds_the_same(
    database_url: str, operator: Person
) -> None:
    """The action knows no severity, service or kind."""
    async with connected(database_url) as connection:
        await _error(connection, "needle")
    assert 'href="/act/resolve?error=needle"' in (await operator.get("/errors?error=needle")).text
    assert "Resolve all" not in (await operator.get("/errors?error=needle&severity=error")).text
    assert "Resolve all" not in (await operator.get("/errors")).text


async def test_what_a_body_filled_is_shown_as_text(database_url: str, viewer: Person, operator: Person) -> None:
    """A message, a service, a stack trace, a circumstance, a webhook's key."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, HOSTILE)
        await _error(
            connection,
            HOSTILE,
            service=HOSTILE,
            stack_trace=HOSTILE,
            event_id=HOSTILE[:60],
            stripe_event_id=HOSTILE,
        )
        await connection.execute("UPDATE error_logs SET request_data = jsonb_build_object($1::text, $1)", HOSTILE)
    for person in (viewer, operator):
        assert_harmless(await person.get("/errors"))


async def test_without_errors_the_page_says_so(viewer: Person) -> None:
    """And how to see those that are resolved."""
    text = (await viewer.get("/errors")).text
    assert "No error is unresolved." in text
    assert 'href="/errors?show=all"' in text


@pytest.mark.parametrize("query", ["show=odd", "severity=odd", "kind=odd", "service=%00", "since=soon", "after=here"])
async def test_a_filter_that_makes_no_sense_is_told_of(viewer: Person, query: str) -> None:
    """A page with a sentence, no error."""
    page = await viewer.get(f"/errors?{query}")
    assert page.status == 400
    assert 'class="notice' in page.text
