"""``sluice doctor``: what people and machines are told, and what it asks before it changes anything."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from sluice.ops.commands import sluice
from sluice.simulator.stripe_api.faults import Fault, broken, too_many
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from sluice.simulator.stripe_api.server import serve
from sluice.webhook_secret import fingerprint
from tests.ops.cli import cli
from tests.ops.rows import connected, insert_webhook
from tests.reconciler.endpoint.registered import HOST, TYPES, URL, destination, endpoint, register
from tests.stripe_world import LIVE_KEY, TEST_KEY, offline_stripe

SECRET = "whsec_8f1ZtQ0mN4kXw2"
FINGERPRINT = fingerprint("platform", SECRET)


@dataclass
class Doctor:
    """The command, with an offline Stripe to ask."""

    base: str

    @property
    def environment(self) -> dict[str, str]:
        """Settings with which all is well."""
        return {"STRIPE_API_BASE": self.base, "STRIPE_API_KEY": TEST_KEY, "PUBLIC_URL": HOST, "COLUMNS": "80"}

    async def __call__(self, *arguments: str, answer: str | None = None, **environment: str) -> Result:
        """Run it; the URL is not called."""
        return await asyncio.to_thread(
            CliRunner().invoke, sluice, ["doctor", "--without-url", *arguments],
            env={**self.environment, **environment}, input=answer,
        )  # fmt: skip

    async def json(self, *arguments: str, **environment: str) -> Any:
        """Its answer for machines."""
        return orjson.loads((await self("--json", *arguments, **environment)).stdout)


@asynccontextmanager
async def doctor(world: OfflineStripe) -> AsyncIterator[Doctor]:
    """A doctor that asks this world."""
    async with serve(world) as base:
        yield Doctor(base)


async def test_with_nothing_wrong_it_says_so_and_exits_0(database_url: str) -> None:
    """Endpoint, state, version, types, secret and its last webhook on one screen."""
    world = offline_stripe()
    register(world, endpoint())
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_1", verified_by=FINGERPRINT)
    async with doctor(world) as run:
        result = await run(DATABASE_URL=database_url, STRIPE_WEBHOOK_SECRET=SECRET)
    assert result.exit_code == 0, result.output
    for word in (URL, "test mode", "we_1", "enabled", "2026-10-28.endive", str(len(TYPES)), FINGERPRINT, "Nothing is"):
        assert word in result.stdout
    assert SECRET not in result.output


async def test_each_finding_fits_80_columns_with_its_cure(database_url: str) -> None:
    """No name of a type is broken; exit code 1."""
    world = offline_stripe()
    register(world, endpoint(types=frozenset({"topup.created"}), api_version=None), destination(status="disabled"))
    async with doctor(world) as run:
        result = await run(DATABASE_URL=database_url, STRIPE_WEBHOOK_SECRET=SECRET)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.strip() for line in lines} >= TYPES
    heads = [line.split()[1] for line in lines if line.startswith(("fault", "warning", "note"))]
    assert heads == ["disabled", "types_missing", "api_version_floats", "secret_unproven", "types_superfluous"]
    assert result.stdout.count("Cure:") == len(heads)


async def test_an_endpoint_disabled_and_enabled_again() -> None:
    """The exit code follows."""
    world = offline_stripe()
    async with doctor(world) as run:
        codes = []
        for status in ("enabled", "disabled", "enabled"):
            register(world, endpoint(status=status))
            codes.append((await run()).exit_code)
    assert codes == [0, 1, 0]


async def test_machines_get_everything(database_url: str) -> None:
    """Findings by name with their types, registrations, proofs."""
    world = offline_stripe()
    register(world, endpoint(types=TYPES - {"charge.failed"}))
    async with doctor(world) as run:
        told = await run.json(DATABASE_URL=database_url)
    assert (told["url"], told["mode"]) == (URL, "test")
    assert [(one["name"], one["items"]) for one in told["findings"]] == [
        ("types_missing", ["charge.failed"]),
        ("secret_unproven", []),
    ]
    assert told["registrations"][0]["id"] == "we_1"
    assert told["secrets"]["last_seen"] == {}


async def test_ingest_is_asked_which_secrets_it_has(database_url: str, tmp_path: Path) -> None:
    """Where the environment does not hold them."""
    world = offline_stripe()
    register(world, endpoint())

    async def status(_: web.Request) -> web.Response:
        return web.json_response({"webhook_secrets": {"fingerprints": [FINGERPRINT]}})

    app = web.Application()
    app.router.add_get("/status", status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with doctor(world) as run:
        told = await run.json(DATABASE_URL=database_url, INGEST_ADMIN_URL=f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()
    assert told["secrets"]["configured"] == [FINGERPRINT]
    assert FINGERPRINT in told["findings"][0]["text"]


@pytest.mark.parametrize(
    ("environment", "exit_code", "words"),
    [
        ({"STRIPE_API_KEY": ""}, 2, "STRIPE_API_KEY is not set"),
        ({"STRIPE_API_KEY": "pk_test_x_hush"}, 2, "no key of Stripe's"),
        ({"STRIPE_API_KEY": "rk_test_wrong_hush"}, 1, "wrong, revoked or expired"),
        ({"STRIPE_API_KEY": "rk_test_poor_hush"}, 1, "rak_webhook_read"),
        ({"STRIPE_API_KEY": f"{LIVE_KEY}_hush"}, 2, "holds a live-mode key alone, and APP_ENV is not production"),
        ({"APP_ENV": "production"}, 2, "holds a test-mode key alone, and APP_ENV is production"),
        ({"PUBLIC_URL": ""}, 2, "PUBLIC_URL is not set"),
        ({"PUBLIC_URL": "pay.example"}, 2, "PUBLIC_URL is no address"),
        ({"STRIPE_API_BASE": "http://127.0.0.1:1"}, 1, "did not answer"),
        ({"STRIPE_API_KEY_FILE": "/nowhere", "STRIPE_API_KEY": ""}, 2, "/nowhere"),
    ],
)
async def test_what_stands_in_the_way_is_said_in_clear_words(
    environment: dict[str, str], exit_code: int, words: str
) -> None:
    """Without a traceback, and without the key."""
    world = OfflineStripe([Key(TEST_KEY), Key("rk_test_poor_hush", frozenset())])
    async with doctor(world) as run:
        result = await run(**environment)
    said = " ".join(result.stderr.split())
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    assert words in said
    assert "hush" not in result.output
    assert "Traceback" not in result.output


async def test_production_looks_at_live_mode_with_the_live_key() -> None:
    """Both keys may be there; a test endpoint that sends here is worth a note."""
    world = offline_stripe()
    register(world, endpoint("we_live", livemode=True), endpoint("we_test"))
    async with doctor(world) as run:
        told = await run.json(APP_ENV="production", STRIPE_API_KEY=f"{TEST_KEY},{LIVE_KEY}")
    assert (told["mode"], [one["id"] for one in told["registrations"]]) == ("live", ["we_live"])
    assert [one["name"] for one in told["findings"]] == ["wrong_mode", "secrets_unknown"]


async def test_a_wrong_key_of_the_other_mode_is_worth_a_note() -> None:
    """Our own mode is judged all the same."""
    world = offline_stripe()
    register(world, endpoint())
    async with doctor(world) as run:
        told = await run.json(STRIPE_API_KEY=f"{TEST_KEY},rk_live_wrong")
    assert [(one["name"], one["weight"]) for one in told["findings"]] == [
        ("secrets_unknown", "note"),
        ("unseen", "note"),
    ]
    assert "live mode" in told["findings"][1]["text"]


@pytest.mark.parametrize("fault", [broken(), Fault(is_cut_off=True)])
async def test_a_stripe_that_answers_badly_is_told(fault: Fault) -> None:
    """500, and an answer that is cut off."""
    world = offline_stripe()
    world.faults.hold(fault)
    async with doctor(world) as run:
        result = await run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Stripe did not answer as it should" in result.stderr


@pytest.mark.parametrize("fault", [too_many(retry_after_seconds=0), Fault(late_seconds=0.3)])
async def test_a_slow_or_busy_stripe_is_waited_for(fault: Fault) -> None:
    """429 with Retry-After, and an answer that takes its time."""
    world = offline_stripe()
    register(world, endpoint())
    world.faults.add([fault])
    async with doctor(world) as run:
        assert (await run()).exit_code == 0


@pytest.mark.parametrize(
    ("answer", "status", "exit_code"), [("y\n", "enabled", 0), ("n\n", "disabled", 1), ("", "disabled", 1)]
)
async def test_a_call_is_shown_and_asked_for(answer: str, status: str, exit_code: int) -> None:
    """No, and no answer at all, change nothing."""
    world = offline_stripe()
    register(world, endpoint(status="disabled"))
    async with doctor(world) as run:
        result = await run("--fix", answer=answer)
    assert result.exit_code == exit_code
    assert "POST /v1/webhook_endpoints/we_1\n  disabled=false" in result.stderr
    assert world.endpoints[False]["we_1"]["status"] == status


async def test_a_new_endpoints_secret_goes_into_the_named_file_alone(tmp_path: Path) -> None:
    """Private, and on no screen; the endpoint is as it should be."""
    world, path = offline_stripe(), tmp_path / "secret"
    async with doctor(world) as run:
        result = await run("--fix", "--yes", "--secret-file", str(path))
    (made,) = world.endpoints[False].values()
    assert (made["url"], made["api_version"], made["enabled_events"]) == (URL, "2026-10-28.endive", sorted(TYPES))
    assert path.read_text().startswith("whsec_offline")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "whsec" not in result.output
    assert result.exit_code == 0, result.output


async def test_a_cut_answer_to_a_creation_loses_no_secret_and_creates_nothing_twice(tmp_path: Path) -> None:
    """The call is repeated under its idempotency key."""
    world, path = offline_stripe(), tmp_path / "secret"
    async with doctor(world) as run:
        world.faults.add([Fault(), Fault(), Fault(is_cut_off=True)])
        result = await run("--fix", "--yes", "--secret-file", str(path))
    assert result.exit_code == 0, result.output
    assert len(world.endpoints[False]) == 1
    assert path.read_text().startswith("whsec_offline")


async def test_without_a_file_for_its_secret_no_endpoint_is_created() -> None:
    """Stripe shows the secret once."""
    world = offline_stripe()
    async with doctor(world) as run:
        result = await run("--fix", "--yes")
    assert result.exit_code == 2
    assert "--secret-file" in result.stderr
    assert world.endpoints[False] == {}


@pytest.mark.parametrize(
    ("fault", "words"),
    [(Fault(is_cut_off=True), "not known whether Stripe made this change"), (None, "rak_webhook_write")],
)
async def test_a_creation_that_fails_leaves_no_file_and_says_what_is_known(
    tmp_path: Path, fault: Fault | None, words: str
) -> None:
    """Answers that are cut each time, and a key that may only read."""
    rights = None if fault else frozenset({"rak_webhook_read"})
    world, path = OfflineStripe([Key(TEST_KEY, rights)]), tmp_path / "secret"
    async with doctor(world) as run:
        world.faults.add([Fault(), Fault()] if fault else [])
        world.faults.hold(fault)
        result = await run("--fix", "--yes", "--secret-file", str(path))
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())
    assert not path.exists()


@pytest.mark.parametrize("arguments", [("--yes",), ("--secret-file", "x"), ("--fix", "--json")])
async def test_options_that_do_not_go_together_are_a_wrong_call(arguments: tuple[str, ...]) -> None:
    """Exit code 2; nothing is asked."""
    world = offline_stripe()
    async with doctor(world) as run:
        assert (await run(*arguments)).exit_code == 2
    assert world.requests == []


async def test_the_help_fits_80_columns() -> None:
    """The examples too."""
    shown = await cli("doctor", "--help", COLUMNS="80")
    assert shown.exit_code == 0
    assert max(map(len, shown.stdout.splitlines())) <= 80


async def test_a_real_process_tells_and_exits_as_scripts_need_it() -> None:
    """From a shell: 1 with JSON on stdout, then a cure, then 0."""
    world = offline_stripe()
    register(world, endpoint(status="disabled"))
    async with doctor(world) as run:
        broken_one = await _process(run, "--json")
        fixed = await _process(run, "--fix", "--yes", "--json")
        well = await _process(run)
    assert broken_one.returncode == 1
    assert [one["name"] for one in orjson.loads(broken_one.stdout)["findings"]] == ["disabled", "secrets_unknown"]
    assert fixed.returncode == 0, fixed.stderr
    assert [one["purpose"] for one in orjson.loads(fixed.stdout)["calls"]] == ["enable we_1"]
    assert (well.returncode, b"Nothing is wrong" in well.stdout) == (0, True)
    assert TEST_KEY.encode() not in b"".join(one.stdout + one.stderr for one in (broken_one, fixed, well))


async def _process(run: Doctor, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "sluice.ops", "doctor", "--without-url", *arguments]
    environment = {"PATH": os.environ["PATH"], **run.environment}
    return await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, timeout=60)
