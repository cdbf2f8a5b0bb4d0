"""When passes run: each account has a rhythm of its own, so that none holds up another."""

import asyncio
import random
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from reconciler import metrics
from reconciler.account_pass import Passes
from reconciler.accounts import Account, accounts_to_list
from reconciler.failures import AccountClosed, StripeUnavailable
from reconciler.lease import LeaseLost
from reconciler.standing import Pass, Standings
from sluice.failures import Defect, Failure
from sluice.postgres.pool import DATABASE_ERRORS
from sluice.runtime import logs
from sluice.runtime.backoff import Backoff
from sluice.runtime.endless import turn

_JITTER = 0.1
_SOON_SHARE = 1 / 6
_CLOSED_ROUNDS = 60
_ACCOUNTS_ROUNDS = 2
_FIRST_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often an account is looked at."""

    every_seconds: float = 60
    first_seconds: float = 3600
    """How far back the first pass over an account begins."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which accounts are listed."""

    modes: Callable[[], AbstractSet[bool]]
    """``livemode`` of each key in force."""
    besides: Collection[str] = ()
    without: Collection[str] = ()


@dataclass
class Rounds:
    """Runs passes over every account until told to stop, while this replica has the lease."""

    passes: Passes
    standings: Standings
    choice: Choice
    rhythm: Rhythm
    _now: dict[Account, asyncio.Event] = field(default_factory=dict)
    """For each account that is looked at: set, it is looked at without waiting for its turn."""
    _wanted: frozenset[Account] = frozenset()
    _own: dict[bool, str] = field(default_factory=dict)

    async def run(self) -> None:
        """For ever: look which accounts there are, and let each have its rhythm."""
        self._now.clear()  # the tasks of an earlier lease have ended
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_for_trouble())
            while True:
                turn()
                self._wanted = await self._accounts()
                for account in self._wanted - self._now.keys():
                    self._now[account] = asyncio.Event()
                    group.create_task(self._look_again_and_again(account))
                await asyncio.sleep(self.rhythm.every_seconds * _ACCOUNTS_ROUNDS)

    def look_now(self) -> None:
        """Have every account looked at at once."""
        for now in self._now.values():
            now.set()

    async def _accounts(self) -> frozenset[Account]:
        try:
            modes = self.choice.modes()
            accounts = accounts_to_list(
                modes,
                await self.standings.known_accounts(),
                besides=self.choice.besides,
                without=[*self.choice.without, *await self._own_accounts(modes)],
            )
            await self.standings.expect(accounts, first_seconds=self.rhythm.first_seconds)
        except DATABASE_ERRORS as error:
            logs.get_logger().warning("accounts_unknown", reason=type(error).__name__)
            return self._wanted
        return accounts

    async def _own_accounts(self, modes: AbstractSet[bool]) -> Collection[str]:
        """Ids of the platform's own account: an events row may name it, and it is listed as the platform."""
        for mode in modes - self._own.keys():
            try:
                answer = await self.passes.apis[mode].get("/v1/account")
            except Failure:
                continue  # without the right to know, an account of that name is listed twice
            self._own[mode] = str(answer.document.get("id"))
        return self._own.values()

    async def _look_again_and_again(self, account: Account) -> None:
        """Until the account is not to be listed any more; a pass that fails is soon tried again, but ever later."""
        failures = 0
        while account in self._wanted:
            walked, rest = await self._look(account, failures)
            failures = failures + 1 if walked is None else 0
            await self._rest(account, rest)
        del self._now[account]

    async def _look(self, account: Account, failures: int) -> tuple[Pass | None, float]:
        """One pass, and how long to rest after it."""
        every = self.rhythm.every_seconds
        try:
            walked = await self.passes.run(account)
        except AccountClosed as failure:
            metrics.forget_closed(account)
            await self._note(account, failure)
            return None, every * _CLOSED_ROUNDS
        except StripeUnavailable as failure:
            await self._note(account, failure)
        except Failure as failure:
            await self._note(account, failure)
            return None, every
        except DATABASE_ERRORS as error:
            metrics.PASSES.labels(account.mode, "database_unavailable").inc()
            logs.get_logger().warning("pass_failed", account=account.name, reason=type(error).__name__)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001  no account may stop the others
            await self._note(account, Defect(f"{type(error).__name__} while it was listed: a fault of Sluice's own."))
        else:
            metrics.PASSES.labels(account.mode, "done").inc()
            return walked, every * _SOON_SHARE if walked.missing else every
        return None, Backoff(_FIRST_PAUSE_SECONDS, every).seconds(failures + 1)

    async def _note(self, account: Account, failure: Failure) -> None:
        metrics.PASSES.labels(account.mode, failure.code).inc()
        logs.get_logger().warning("pass_failed", account=account.name, mode=account.mode, reason=str(failure))
        try:
            await self.standings.note_problem(account, failure)
        except DATABASE_ERRORS as error:
            logs.get_logger().warning("problem_not_noted", reason=type(error).__name__)

    async def _rest(self, account: Account, seconds: float) -> None:
        now = self._now[account]
        try:
            async with asyncio.timeout(seconds * random.uniform(1 - _JITTER, 1)):
                await now.wait()
        except TimeoutError:
            pass
        now.clear()

    async def _watch_for_trouble(self) -> None:
        """Look at all accounts at once when healthd says that webhooks were not taken in, and when that is over."""
        known: float | None = None
        while True:
            turn()
            try:
                newest = await self.standings.newest_trouble()
            except DATABASE_ERRORS:
                newest = known
            if newest is not None and newest != known:
                self.look_now()
            known = newest
            await asyncio.sleep(_LOOK_SECONDS)
