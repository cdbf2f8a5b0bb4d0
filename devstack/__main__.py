"""``python -m devstack``, which is ``make run``: start everything, show it, serve until Ctrl-C."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack.child import end_with_parent
from devstack.demo import run_demo
from devstack.options import ROOT, Options, read_options
from devstack.problems import StackProblem
from devstack.screen import Screen
from devstack.stack import Stack
from devstack.stripe_endpoint import is_enabled
from devstack.tally import Progress, Tally
from sluice.ops.terminal import Terminal
from sluice.postgres.errors import DATABASE_ERRORS
from sluice.runtime.printable import printable_lines

LOOK_SECONDS = 1.0
PLAIN_COLUMNS = 140


def main() -> int:
    """Run it; the exit code: 0 after Ctrl-C or SIGTERM, 1 after a problem, which is one sentence on stderr."""
    arguments = _arguments()
    if "MAKELEVEL" in os.environ:  # a signal that kills `make` is meant for us
        end_with_parent()
    try:
        options = read_options(os.environ, folder=arguments.folder, env_file=arguments.env_file)
        asyncio.run(_run(options))
    except StackProblem as problem:
        sys.stderr.write(f"\n{printable_lines(str(problem))}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"\n{_disk_problem(error)}\n")
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack", description="Run the whole system here.")
    parser.add_argument("--folder", type=Path, default=ROOT / ".local", help="where it keeps its data")
    parser.add_argument("--env-file", type=Path, default=ROOT / ".env", help="settings of yours")
    return parser.parse_args()


async def _run(options: Options) -> None:
    screen = Screen(Terminal() if sys.stdout.isatty() else Terminal(width=PLAIN_COLUMNS))
    stack = Stack(options, screen)
    with screen.open(), contextlib.suppress(asyncio.CancelledError):  # the signal below is what cancels
        _end_on_signal(stack, screen)
        began_at = time.monotonic()
        async with stack:
            screen.say(_welcome(stack, time.monotonic() - began_at))
            if options.wants_demo:
                await _demonstrate(stack, screen)
            await _watch(stack, screen)
    screen.say(f"Ended. The data stays in {os.path.relpath(stack.folder.root)}.")


def _end_on_signal(stack: Stack, screen: Screen) -> None:
    """The first signal ends everything cleanly, wherever we are; the second ends it at once."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    asked = False

    def end() -> None:
        nonlocal asked
        if asked:
            stack.kill()
        elif task is not None:
            asked = True
            screen.step("Ending (again to end at once)")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else it was started by nohup
        loop.add_signal_handler(signal.SIGHUP, end)


def _welcome(stack: Stack, took_seconds: float) -> str:
    url = stack.gateway_url.replace("127.0.0.1", "localhost")
    folder = os.path.relpath(stack.folder.root)
    return "\n".join(
        (
            f"Sluice is up at {url} after {took_seconds:.1f} s.",
            f"  webhooks  {url}/api/stripe-webhook",
            f"  stripe    stripe listen --forward-to {url.removeprefix('http://')}/api/stripe-webhook",
            f"  health    {url}/api/health",
            f"  console   {stack.console_link()}",
            f"  shells    . {folder}/stack.env",
            f"  logs      {folder}/log/",
        )
    )


async def _demonstrate(stack: Stack, screen: Screen) -> None:
    screen.step("Sending a day of payments")
    show: Callable[[int], None] = lambda count: screen.progress(f"Sending a day of payments: {count} answered")  # noqa: E731
    try:
        result = await run_demo(
            stack.database_url, stack.gateway_url, stack.webhook_secret, show, troubles=stack.troubles()
        )
    except DATABASE_ERRORS as error:
        screen.say(
            f"PostgreSQL went away ({type(error).__name__}) before the day was told to its end; the stack stays up."
        )
        return
    screen.show(result.tables)
    if stack.stripe is not None and not is_enabled(stack.stripe):
        screen.say("Our endpoint at the offline Stripe is still disabled; `sluice doctor --fix` should enable it.")
    if not result.is_well:
        screen.say("Not everything is as it must be: see the table, and `sluice why` with an id from it.")


async def _watch(stack: Stack, screen: Screen) -> None:
    """Keep the status line true until cancelled; a keeper that fails ends us with its error."""
    async with Tally(stack.database_url) as tally:
        while not stack.has_failed():
            screen.status(_status_line(stack, await tally.progress()))
            await asyncio.sleep(LOOK_SECONDS)
    stack.raise_failure()


def _status_line(stack: Stack, progress: Progress | None) -> str:
    states = _states({name: service.is_ready for name, service in stack.services.items()})
    restarts = sum(service.restarts for service in stack.services.values())
    again = "" if restarts == 0 else f"; started again {restarts} {'time' if restarts == 1 else 'times'}"
    return f"{states}{again}; {progress or 'PostgreSQL is away'}. Ctrl-C ends it."


def _states(are_ready: Mapping[str, bool]) -> str:
    up = ", ".join(name for name, is_ready in are_ready.items() if is_ready)
    starting = ", ".join(name for name, is_ready in are_ready.items() if not is_ready)
    return "; ".join([*([f"{up} up"] if up else []), *([f"{starting} starting"] if starting else [])])


def _disk_problem(error: OSError) -> str:
    if error.errno is None or error.filename is None:
        return f"The machine refused: {error}."
    return f"Cannot use {error.filename}: {error.strerror}; put that right and start again."


if __name__ == "__main__":
    sys.exit(main())
