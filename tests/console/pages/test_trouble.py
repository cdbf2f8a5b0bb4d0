"""The page of trouble: causes, and the verbs that mend them."""

from datetime import UTC, datetime, timedelta

import pytest

from console.pages.trouble import reading
from tests.console.hostile import HOSTILE, assert_harmless
from tests.console.serving import Person
from tests.ops.rows import Connection, connected, insert_webhook

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LOYALTY = "KeyError in handler loyalty.add_points at loyalty.py:9 in add_points"


async def _dead(connection: Connection, key: str, error: str | None, **columns: object) -> None:
    row = {"dead_at": NOON, "outcome": "failed", "published_at": None, "last_error": error}
    await insert_webhook(connection, key, **{**row, **columns})


async def _waiting(connection: Connection, key: str, outcome: str, error: str, **columns: object) -> None:
    row = {"outcome": outcome, "published_at": None, "last_error": error, "next_attempt_at": NOON}
    await insert_webhook(connection, key, **{**row, **columns})


async def test_webhooks_are_grouped_by_state_handler_and_error(database_url: str, viewer: Person) -> None:
    """With how many, and the filter that finds them; a processed one and one that waits its turn are no trouble."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", LOYALTY)
        await _dead(connection, "evt_2", LOYALTY)
        await _waiting(connection, "evt_3", "failed", LOYALTY)
        await _waiting(connection, "evt_4", "parked", "waits for the row 0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11")
        await _waiting(connection, "evt_5", "applied", LOYALTY, processed=True)
        await _waiting(connection, "evt_6", "", "never tried")
        await _dead(connection, "evt_7", "written off", processed=True)
    page = await viewer.get("/trouble")
    assert page.text.count('<strong class="id">loyalty.add_points</strong>') == 2
    assert "state=dead&amp;handler=loyalty.add_points&amp;error=KeyError" in page.text
    assert ">2<span" in page.text
    assert "waits for the row …" in page.text
    assert "never tried" not in page.text
    assert "written off" not in page.text


async def test_the_link_of_a_group_finds_its_webhooks(database_url: str, viewer: Person) -> None:
    """However the ids in their errors differ."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", "UnknownShape: invoice in_1Rk00000000Ab has 2 payments")
        await _dead(connection, "evt_2", "UnknownShape: invoice in_1Rk00000000Cd has 2 payments")
        await _dead(connection, "evt_3", "another one")
    text = (await viewer.get("/trouble")).text
    assert "UnknownShape: invoice … has 2 payments" in text
    link = text.split('class="number"><a href="')[1].split('"')[0].replace("&amp;", "&")
    found = (await viewer.get(link)).text
    assert ("evt_1" in found, "evt_2" in found, "evt_3" in found) == (True, True, False)


async def test_first_and_last_seen_of_the_dead_are_their_deaths(database_url: str, viewer: Person) -> None:
    """Of others it is the receipt."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", "one", dead_at=NOON, created_at=NOON - timedelta(days=9))
        await _dead(connection, "evt_2", "one", dead_at=NOON + timedelta(hours=2))
    text = (await viewer.get("/trouble")).text
    assert 'datetime="2026-11-23T12:00:00+00:00"' in text
    assert 'datetime="2026-11-23T14:00:00+00:00"' in text


async def test_an_operator_has_the_verbs_that_take_the_state(
    database_url: str, viewer: Person, operator: Person
) -> None:
    """Each leads to the action with the group's filter; a viewer has none."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", LOYALTY)
        await _waiting(connection, "evt_2", "failed", "some error")
    text = (await operator.get("/trouble")).text
    links = [part.split('"')[0].replace("&amp;", "&") for part in text.split('class="button" href="')[1:]]
    assert [link.split("?")[0] for link in links] == ["/act/replay", "/act/write-off", "/act/retry"]
    for link in links:
        assert (await operator.get(link)).status == 200
    assert "/act/" not in (await viewer.get("/trouble")).text


async def test_a_group_that_only_its_state_finds_has_no_verb(database_url: str, operator: Person) -> None:
    """The verb would be about every dead webhook."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", None)
    text = (await operator.get("/trouble")).text
    assert "No error is on record." in text
    assert "/act/" not in text


async def test_more_than_a_page_looks_through_is_told_of(
    database_url: str, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes the newest for all."""
    monkeypatch.setattr(reading, "LOOK_THROUGH", 2)
    async with connected(database_url) as connection:
        for number in range(3):
            await _dead(connection, f"evt_{number}", "one", dead_at=NOON + timedelta(hours=number))
    text = (await viewer.get("/trouble")).text
    assert "There may be more dead webhooks" in text
    assert "There may be more that wait" not in text


async def test_deaths_that_were_written_off_never_hide_others_in_silence(
    database_url: str, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do webhooks that only wait for their turn hide those that fail."""
    monkeypatch.setattr(reading, "LOOK_THROUGH", 1)
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", LOYALTY)
        await _dead(connection, "evt_2", LOYALTY, processed=True, dead_at=NOON + timedelta(hours=1))
        await _waiting(connection, "evt_3", "failed", LOYALTY)
        await _waiting(connection, "evt_4", "", "", next_attempt_at=NOON + timedelta(hours=1))
    text = (await viewer.get("/trouble")).text
    assert "No webhook is dead" not in text
    assert "There may be more dead webhooks" in text
    assert "There may be more that wait" in text


async def test_errors_that_are_too_many_to_group_are_counted(
    database_url: str, viewer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tile counts every one of them."""
    monkeypatch.setattr(reading, "_ERRORS_AT_MOST", 1)
    async with connected(database_url) as connection:
        for key, error in {"evt_1": "one", "evt_2": "one", "evt_3": "another"}.items():
            await _dead(connection, key, error)
    text = (await viewer.get("/trouble")).text
    assert '<span class="figure">3</span>' in text
    assert "1 more webhooks" in text


async def test_what_a_body_filled_is_shown_as_text(database_url: str, viewer: Person, operator: Person) -> None:
    """A type, a key, an error, and the handler in it."""
    async with connected(database_url) as connection:
        error = f"{HOSTILE} in handler {HOSTILE}"
        await _dead(connection, HOSTILE, error, webhook_type=HOSTILE)
        await _waiting(connection, f"{HOSTILE}2", "failed", error, webhook_type=HOSTILE)
    for person in (viewer, operator):
        assert_harmless(await person.get("/trouble"))


async def test_without_trouble_the_page_says_so(viewer: Person) -> None:
    """And what will appear there."""
    text = (await viewer.get("/trouble")).text
    assert "No webhook is dead, failing, parked or postponed." in text


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("no row 0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11 yet", "no row … yet"),
        ("charge ch_3Qw9ABCdef of cs_test_a1B2c3D4e5 is odd", "charge … of … is odd"),
        ("UndefinedColumnError 42703: column x", "UndefinedColumnError 42703: column x"),
        ("KeyError in handler grant_v2.run at a.py:12 in add_points", None),
    ],
)
async def test_ids_are_left_out_of_a_cause_and_words_are_not(
    database_url: str, viewer: Person, error: str, shown: str | None
) -> None:
    """An SQLSTATE, a line and a function's name tell causes apart."""
    async with connected(database_url) as connection:
        await _dead(connection, "evt_1", error)
    text = (await viewer.get("/trouble")).text
    assert f'<span class="error">{shown or error}</span>' in text
