from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from sluice.runtime.probes import AdminPortTaken, Probes


@pytest_asyncio.fixture
async def probes() -> AsyncIterator[Probes]:
    """Probes of a service that has started, listening on a free port."""
    probes = Probes("ingest")
    probes.has_started = True
    async with probes.serve("127.0.0.1", 0):
        yield probes


async def _get(probes: Probes, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{probes.port}{path}") as response:
        return response.status, await response.text()


def _broken() -> bool:
    raise RuntimeError("postgresql://a:hunter2@db")


async def test_a_healthy_service_says_ok_and_no_more(probes: Probes) -> None:
    """A kubelet reads the status alone."""
    probes.add_readiness("configured", lambda: True)
    assert await _get(probes, "/livez") == (200, "ok")
    assert await _get(probes, "/readyz") == (200, "ok")


async def test_verbose_lists_each_check_as_the_kubernetes_api_server_does(probes: Probes) -> None:
    """A person sees which check failed, and never why in public."""
    probes.add_readiness("configured", lambda: True)
    probes.add_readiness("secret", lambda: False)
    failed = "[+]startup ok\n[+]configured ok\n[-]secret failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n"
    assert await _get(probes, "/readyz?verbose") == (503, failed)
    assert await _get(probes, "/readyz") == (503, failed)
    assert await _get(probes, "/livez?verbose") == (200, "[+]event_loop ok\nlivez check passed\n")


async def test_a_check_can_be_excluded_by_name(probes: Probes) -> None:
    """Names that exist nowhere are said to."""
    probes.add_readiness("secret", lambda: False)
    assert await _get(probes, "/readyz?exclude=secret") == (200, "ok")
    status, text = await _get(probes, "/readyz?verbose&exclude=secret&exclude=sekret")
    assert status == 200
    assert "[+]secret excluded: ok\n" in text
    assert "warn: some health checks cannot be excluded: no matches for 'sekret'\n" in text


async def test_a_service_that_has_not_said_that_it_started_is_unready_and_alive(probes: Probes) -> None:
    """Its public port may not be open yet: a client sent there now is turned away."""
    probes.has_started = False
    assert await _get(probes, "/readyz") == (
        503,
        "[-]startup failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n",
    )
    assert (await _get(probes, "/livez"))[0] == 200


async def test_draining_is_unready_and_alive(probes: Probes) -> None:
    """A service that winds down gets no new work, and no kill."""
    probes.is_draining = True
    status, text = await _get(probes, "/readyz")
    assert (status, "[-]shutdown failed" in text) == (503, True)
    assert (await _get(probes, "/livez"))[0] == 200


async def test_a_check_that_breaks_has_failed(probes: Probes) -> None:
    """Its error is logged, not shown."""
    probes.add_readiness("broken", _broken)
    status, text = await _get(probes, "/readyz?verbose")
    assert status == 503
    assert "hunter2" not in text


async def test_status_is_one_json_object_with_each_report_under_its_name(probes: Probes) -> None:
    """The answer is read by healthd; a report that breaks hides none of the others."""
    probes.add_readiness("configured", lambda: True)
    probes.add_status("pool", lambda: {"size": 2, "max": 10})
    probes.add_status("odd", lambda: {"x": _broken()})
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{probes.port}/status") as response,
    ):
        status = await response.json()
    assert status.pop("uptime_seconds") >= 0
    assert status.pop("version")
    assert status == {
        "service": "ingest",
        "ready": True,
        "draining": False,
        "checks": {"startup": True, "configured": True, "shutdown": True},
        "pool": {"size": 2, "max": 10},
        "odd": {"error": "RuntimeError"},
    }


async def test_metrics_are_in_prometheus_format(probes: Probes) -> None:
    """With the content type that tells a scraper so."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{probes.port}/metrics") as response,
    ):
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert "process_cpu_seconds_total" in await response.text()


async def test_a_taken_port_is_said_in_one_sentence_with_the_fix(probes: Probes) -> None:
    """The message of a second service names the setting to change."""
    with pytest.raises(
        AdminPortTaken, match=rf"cannot listen on its admin port 127\.0\.0\.1:{probes.port} .*ADMIN_PORT"
    ):
        async with Probes("processor").serve("127.0.0.1", probes.port):
            pass
