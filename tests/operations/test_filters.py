"""A filter finds what it says and nothing else, whatever its values hold."""

from datetime import timedelta
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.inbox.states import State
from sluice.operations import book
from sluice.operations.filters import Filter
from sluice.operations.verbs import DEAD, ENDED, Verb
from sluice.operations.webhooks import newest_errors, newest_webhooks
from sluice.ops.commands import sluice
from sluice.postgres.pool import Connection, Database
from tests.operations.rows import DAY, put_error, put_in

_BODY = b'{"data": {"object": {"id": "ch_9", "customer": "cus_9"}}}'.hex()
THE_ONE = {
    "webhook_type": "'charge.refunded'",
    "stripe_account_id": "'acct_9'",
    "tenant": "'gala'",
    "object_id": "'ch_9'",
    "outcome": "'failed'",
    "last_error": "'ValueError: 100 % in handler loyalty.add_points (loyalty.py:9)'",
    "body": f"'\\x{_BODY}'",
    "created_at": "'2026-11-23 12:00+00'",
    "verified_by": "'platform:0a1b2c3d'",
}
FINDS_IT: list[dict[str, Any]] = [
    {"ids": ["evt_1", "evt_9"]},
    {"types": ["charge.*"]},
    {"types": ["invoice.*", "charge.refund??"]},
    {"account": "acct_9"},
    {"organiser": "gala"},
    {"since": DAY, "until": DAY + timedelta(days=1)},
    {"outcome": "failed"},
    {"object_id": "ch_9"},
    {"customer": "cus_9"},
    {"handler": "loyalty.add_points"},
    {"error": "100 %"},
    {"verified_by": "platform:0a1b2c3d"},
    {"verified_by": "platform"},
    {"states": [State.DEAD]},
    {"types": ["charge.*"], "account": "acct_9", "states": [State.DEAD, State.UNSUPPORTED]},
]
FINDS_NOTHING: list[dict[str, Any]] = [
    {"ids": ["evt_8"]},
    {"types": ["charge"]},
    {"types": ["charge_refunded"]},
    {"account": "acct_"},
    {"organiser": "gal"},
    {"since": DAY + timedelta(days=1), "until": DAY + timedelta(days=2)},
    {"until": DAY},
    {"outcome": "fail"},
    {"object_id": "ch"},
    {"customer": "cus_8"},
    {"handler": "loyalty.add"},
    {"error": "100 _"},
    {"verified_by": "platform:0a1b"},
    {"verified_by": "plat"},
    {"states": [State.PROCESSED]},
    {"types": ["charge.*"], "account": "acct_8"},
]
WORDS = ["account", "organiser", "outcome", "object_id", "customer", "handler", "error", "verified_by"]
SPITEFUL = st.one_of(
    st.sampled_from(["'", "' OR true --", "$1", "%", "_", "\\", "*", "'; DROP TABLE operation; --", "{0}", "{choice}"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
)


async def _found(connection: Connection, **fields: Any) -> list[str]:
    preview = await book.preview(connection, Verb.WRITE_OFF, Filter(**fields))
    return list(preview.sample)


@pytest.mark.parametrize("fields", FINDS_IT, ids=str)
async def test_a_filter_finds_the_webhook_that_fits(fields: dict[str, Any], database: Database) -> None:
    """One of many, by each of the fields."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_9", State.DEAD, **THE_ONE)
        await put_in(connection, "evt_other", State.UNSUPPORTED, created_at="'2026-01-01'")
        await put_in(connection, "evt_live", State.FAILED, **{**THE_ONE, "object_id": "'ch_9'"})
        found = await _found(connection, **fields)
    assert "evt_9" in found
    assert "evt_live" not in found
    assert ("evt_other" in found) == ("evt_other" in fields.get("ids", ()))


@pytest.mark.parametrize("fields", FINDS_IT, ids=str)
async def test_every_verb_finds_by_the_same_words(fields: dict[str, Any], database: Database) -> None:
    """The webhook in a state that the verb takes, or its unresolved error; a list finds it in any."""
    async with database.acquire() as connection:
        for verb, state in ((Verb.RETRY, State.FAILED), (Verb.REPLAY, State.DEAD), (Verb.WRITE_OFF, State.DEAD)):
            await connection.execute("TRUNCATE webhook_logs, error_logs")
            await put_in(connection, "evt_9", state, **THE_ONE)
            asked = Filter(**{**fields, "states": [state] if "states" in fields else ()})
            found = await book.preview(connection, verb, asked)
            assert list(found.sample) == ["evt_9"], verb
            assert [one.item_id for one in await newest_webhooks(connection, asked, at_most=9)] == ["evt_9"]
        columns = {"request_data": '{"handler": "loyalty.add_points"}', "created_at": DAY + timedelta(hours=12)}
        error = await put_error(connection, "evt_9", message="100 % wrong", **columns)
        resolving = await book.preview(connection, Verb.RESOLVE, Filter(**fields))
        listed = await newest_errors(connection, Filter(**fields), at_most=9)
        assert (list(resolving.sample), [one.item_id for one in listed]) == ([error], [error])


@pytest.mark.parametrize("verb", ["ls", "watch", "export", "retry", "replay", "write-off", "resolve"])
def test_every_verb_has_the_same_options(verb: str) -> None:
    """A person who knows one knows them all."""
    command = sluice.get_command(click.Context(sluice), verb)
    assert command is not None
    words = {option for one in command.params for option in one.opts}
    assert words >= {
        "ids", "--type", "--account", "--organiser", "--since", "--until", "--state", "--outcome", "--object",
        "--customer", "--failed-in", "--error", "--verified-by",
    }  # fmt: skip


@pytest.mark.parametrize("fields", FINDS_NOTHING, ids=str)
async def test_a_filter_finds_no_webhook_that_nearly_fits(fields: dict[str, Any], database: Database) -> None:
    """A part of an id, a letter less, a wildcard of SQL: none of these is meant."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_9", State.DEAD, **THE_ONE)
        assert await _found(connection, **fields) == []


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    field=st.sampled_from(WORDS),
    value=SPITEFUL,
    verb=st.sampled_from([Verb.WRITE_OFF, Verb.RESOLVE]),
)
async def test_a_value_is_never_part_of_the_statement(field: str, value: str, verb: Verb, database: Database) -> None:
    """A text that an attacker puts into a filter finds only what holds just that."""
    async with database.acquire() as connection:
        if await connection.fetchval("SELECT count(*) FROM webhook_logs") == 0:
            await put_in(connection, "evt_9", State.DEAD, last_error="'q7'", object_id="'q7'")
            await put_error(connection, "evt_9", message="q7")
        fields: dict[str, Any] = {field: value}
        found = await book.preview(connection, verb, Filter(**fields))
        holds = {"error": value in "q7", "object_id": value == "q7", "outcome": value == "failed"}
        assert bool(found.count) == holds.get(field, False)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=SPITEFUL)
async def test_a_glob_without_wildcards_finds_the_type_of_that_name(name: str, database: Database) -> None:
    """Percent signs, underscores, backslashes and quotes are letters like others."""
    literal = name.replace("*", "").replace("?", "") or "a"
    async with database.acquire() as connection:
        await connection.execute("TRUNCATE webhook_logs")
        await connection.execute(
            "INSERT INTO webhook_logs (stripe_event_id, webhook_type, dead_at) VALUES ('evt_1', $1, now()),"
            " ('evt_2', $1 || 'x', now()), ('evt_3', 'x' || $1, now())",
            literal,
        )
        assert await _found(connection, types=[literal]) == ["evt_1"]
        longer = ["evt_1", "evt_2", *(["evt_3"] if f"x{literal}".startswith(literal) else [])]
        assert await _found(connection, types=[f"{literal}*"]) == longer
        assert "evt_3" in await _found(connection, types=[f"?{literal}"])


def test_states_alone_narrow_nothing_down() -> None:
    """All that is dead, or all that is processed, may be everything."""
    assert not Filter(states=[*DEAD, *ENDED]).is_narrow
    assert not Filter().is_narrow
    assert Filter(account="acct_1").is_narrow


async def test_errors_are_found_by_their_own_fields_and_by_their_webhooks(database: Database) -> None:
    """By id, text and handler of their own; by type and account of the webhook; never one that is resolved."""
    async with database.acquire() as connection:
        await put_in(connection, "evt_9", State.DEAD, **THE_ONE)
        one = await put_error(connection, "evt_9", message="100 % wrong", request_data='{"handler": "loyalty.add"}')
        await put_error(connection, None, message="another")
        await put_error(connection, "evt_9", message="100 % wrong", resolved=True)
        for fields in (
            {"ids": [one]},
            {"ids": ["evt_9"]},
            {"error": "100 %"},
            {"handler": "loyalty.add"},
            {"types": ["charge.*"]},
            {"account": "acct_9"},
            {"customer": "cus_9"},
            {"states": [State.DEAD]},
        ):
            found = await book.preview(connection, Verb.RESOLVE, Filter(**fields))
            assert list(found.sample) == [one], fields
