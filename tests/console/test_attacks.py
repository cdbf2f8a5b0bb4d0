"""The console as an attacker meets it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from console.routes import ROUTES
from tests.console.serving import OPERATOR, VIEWER, Person, serving
from tests.ops.rows import connected, insert, insert_fact, insert_webhook

Client = TestClient[web.Request, web.Application]
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}\u202e\x1b[31m"
_SEEN = re.compile(r"<script>alert|<img src=x|\u202e|\x1b|49\u202e")
POSTS = [route for route in ROUTES if route.method == "POST"]
LOOKS = {"body"}
"""Forms that a viewer may send: they change nothing but the record of the look."""


def _path(template: str) -> str:
    return template.replace("{key:[^/]+}", "evt_1").replace("{verb}", "replay").replace("{id}", "1")


@pytest.mark.parametrize("route", [one for one in POSTS if one.name not in LOOKS], ids=lambda route: route.path)
async def test_a_viewer_who_posts_changes_nothing(database_url: str, viewer: Person, route: object) -> None:
    """With a form's token and origin, as if the button were there."""
    path = _path(getattr(route, "path", ""))
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", dead_at=NOON, published_at=None, body=b"{}")
        await connection.execute(
            "INSERT INTO operation (verb, filter, reason, person) VALUES ('retry', '{}', 'why', 'ada')"
        )
        sent = await viewer.post(path, "/webhooks/evt_1", id="evt_1", reason="why", limit="1")
        assert sent.status == 403
        assert await connection.fetchval("SELECT count(*) FROM operation") == 1
        assert await connection.fetchval("SELECT cancelled_at IS NULL FROM operation")
        assert await connection.fetchval("SELECT dead_at IS NOT NULL FROM webhook_logs")


@pytest.mark.parametrize("route", [one for one in POSTS if one.name not in LOOKS], ids=lambda route: route.path)
async def test_an_operator_changes_nothing_where_actions_are_off(
    database_url: str, role_url: Callable[[str], str], route: object
) -> None:
    """CONSOLE_ACTIONS is off by default, and no page shows a button."""
    async with serving(role_url("console"), console_actions=False) as client, connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", dead_at=NOON, published_at=None, body=b"{}")
        person = Person(client, OPERATOR)
        assert (await person.post(_path(getattr(route, "path", "")), "/webhooks/evt_1", reason="why")).status == 403
        assert "/act/" not in (await person.get("/webhooks/evt_1")).text


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_no_page_answers_a_stranger(console: Client, route: object) -> None:
    """Not one, and not by another method."""
    path = _path(getattr(route, "path", ""))
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        async with console.request(method, path, allow_redirects=False) as answer:
            assert answer.status == 403, method


@pytest.mark.parametrize(
    "path", ["/", "/webhooks", "/webhooks/evt_none", "/nowhere", "/webhooks?state=odd", "/act/replay"]
)
async def test_every_answer_forbids_frames_caches_and_foreign_scripts(viewer: Person, path: str) -> None:
    """Pages and faults alike."""
    headers = (await viewer.get(path)).headers
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "same-origin"


async def test_no_page_holds_inline_script_or_style(database_url: str, operator: Person) -> None:
    """The policy would stop it; so it is not there."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", dead_at=NOON, published_at=None, body=b"{}")
    for path in ("/", "/webhooks?state=dead&type=*", "/webhooks/evt_1", "/act/replay?id=evt_1", "/nowhere"):
        text = (await operator.get(path)).text
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", text), path


async def test_whatever_stripe_or_an_organiser_writes_is_text(database_url: str, operator: Person) -> None:
    """Every column that a webhook, a body, an error, an operator or an organiser fills."""
    async with connected(database_url) as connection:
        await insert_webhook(
            connection,
            f"evt_{HOSTILE}",
            webhook_type=HOSTILE,
            stripe_account_id=HOSTILE,
            api_version=HOSTILE,
            object_id=HOSTILE,
            tenant=HOSTILE,
            verified_by=HOSTILE,
            last_error=HOSTILE,
            outcome=HOSTILE,
            dead_at=NOON,
            published_at=None,
            body=HOSTILE.encode(),
        )
        key = f"evt_{HOSTILE}"
        await insert(connection, "webhook_delivery", stripe_event_id=key, verified_by=HOSTILE)
        await insert(connection, "error_logs", severity="error", message=HOSTILE, service=HOSTILE, stripe_event_id=key)
        await insert_fact(
            connection,
            key,
            minutes=1,
            kind=HOSTILE,
            object_id=HOSTILE,
            status=HOSTILE,
            currency=HOSTILE,
        )
        await insert(connection, "body_view", stripe_event_id=key, person=HOSTILE)
        await insert(connection, "webhook_found", stripe_event_id=key, source=HOSTILE)
        async with connection.transaction():  # an operation takes its items when it starts
            await insert(connection, "operation", verb="replay", filter="{}", reason=HOSTILE, person=HOSTILE)
            await insert(connection, "operation_item", operation_id=1, position=1, item_id=key)
        await insert(
            connection,
            "reconcile_account",
            livemode=True,
            account=HOSTILE,
            complete_until=NOON,
            problem=HOSTILE,
        )
    page = f"/webhooks/{quote(key, safe='')}"
    shown = [
        await operator.get("/"),
        await operator.get("/webhooks"),
        await operator.get(page),
        await operator.post(f"{page}/body", page),
        await operator.get(str(URL("/webhooks").with_query(type="*", error=HOSTILE, handler=HOSTILE, object=HOSTILE))),
        await operator.get(str(URL("/act/replay").with_query(state="dead", type="*"))),
        await operator.get(str(URL("/act/resolve").with_query(error=HOSTILE))),
    ]
    assert [answer.status for answer in shown] == [200] * len(shown)
    for answer in shown:
        assert not _SEEN.search(answer.text), answer.path
    assert any("&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text for answer in shown)


async def test_a_hostile_name_is_no_path_for_a_script(console: Client) -> None:
    """Of the person, and of the address that leads nowhere."""
    person = Person(console, VIEWER)
    for path in ("/<script>alert(1)</script>", "/search?q=<script>alert(1)</script>", "/webhooks?since=<script>"):
        assert "<script>alert" not in (await person.get(path)).text


SINGLE = ("account", "organiser", "outcome", "object", "customer", "handler", "error", "id", "type")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(SINGLE),
    text=st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            ["' OR 1=1 --", "'; DROP TABLE webhook_logs; --", "$1", "{choice}", "%", "\\", "{0}", "*" * 30]
        ),
    ),
)
async def test_no_filter_reaches_the_sql(operator: Person, name: str, text: str) -> None:
    """Any text in any field finds rows, or none, or is told to make no sense; PostgreSQL never reads it as SQL."""
    for path in ("/webhooks", "/act/replay"):
        answer = await operator.get(str(URL(path).with_query({name: text})))
        assert answer.status in {200, 400}, (answer.status, answer.text[-400:])


async def test_a_form_that_is_too_large_is_refused(database_url: str, operator: Person) -> None:
    """No page reads more than a form holds."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", body=b"{}")
    assert (await operator.post("/act/replay", "/webhooks/evt_1", reason="x" * 100_000)).status == 413


async def test_a_file_in_a_form_is_refused(database_url: str, console: Client, operator: Person) -> None:
    """No form of ours has one."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", body=b"{}")
    token = re.search(r'name="form_token" value="([^"]+)"', (await operator.get("/webhooks/evt_1")).text)
    assert token is not None
    form = aiohttp.FormData({"form_token": token[1]})
    form.add_field("reason", b"why", filename="why.txt")
    async with console.post("/act/replay", data=form, headers={**OPERATOR, "Origin": operator.origin}) as answer:
        assert answer.status == 400
