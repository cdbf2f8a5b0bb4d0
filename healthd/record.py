"""Puts on record what healthd answered, so that a restart erases nothing: table ``health_verdict``."""

import asyncio
import contextlib
import uuid
from collections import deque
from dataclasses import dataclass, replace

from healthd.counts import NOTHING, Counted, Counters
from healthd.health_state import HealthState
from healthd.rules import Status
from healthd.verdict import Verdict
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.reasons import reason_of
from sluice.postgres.sql import columns, load_queries
from sluice.runtime import logs

_QUERIES = load_queries(__file__, "record.sql")
_MOST_WAITING = 1_000
_ASLEEP_BEATS = 3  # after so long without a look the machine slept, and healthd did not answer either
_FORGET_EVERY_BEATS = 60


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which the status was the same. Moments are monotonic seconds."""

    began: float
    ended: float
    status: Status
    reasons: frozenset[str] = frozenset()
    counted: Counted = NOTHING

    def joins(self, later: "Period") -> bool:
        """Whether the later one only goes on with this one."""
        return self.status is later.status and self.ended == later.began

    def with_(self, later: "Period") -> "Period":
        """Both as one."""
        return replace(
            self,
            ended=later.ended,
            reasons=self.reasons | later.reasons,
            counted=self.counted + later.counted,
        )


class Recorder:
    """
    Writes one row for each period of the same status, of a beat at most; what PostgreSQL does not take waits.

    Args:
        beat_seconds: how often a period that goes on is written.
        retain_days: what ended longer ago is deleted.
    """

    def __init__(
        self, state: HealthState, database: Database, *, beat_seconds: float, retain_days: int, within_seconds: float
    ) -> None:
        self._state = state
        self._database = database
        self._beat_seconds = beat_seconds
        self._retain_days = retain_days
        self._within_seconds = within_seconds
        self._healthd = uuid.uuid4().hex
        self._counters = Counters()
        self._now: Period | None = None
        self._waiting: deque[Period] = deque(maxlen=_MOST_WAITING)
        self._changed = asyncio.Event()
        self._problem: str | None = None

    def note(self, verdict: Verdict) -> None:
        """Record the current answer; skip it before the first verdict, when healthd is not ready."""
        if not self._state.has_first_verdict:
            return
        moment = self._state.now()
        counted = self._counters.advance(self._state.snapshot.services, watched_seconds=moment - self._state.started_at)
        reasons = frozenset(finding.reason.value for finding in verdict.findings)
        last = self._now
        if last is not None and moment - last.ended > _ASLEEP_BEATS * self._beat_seconds:
            self._close()
            last = None
        if last is None:
            self._now = Period(moment, moment, verdict.status, reasons, counted)
        elif last.status is verdict.status:
            self._now = replace(last, ended=moment, reasons=last.reasons | reasons, counted=last.counted + counted)
        else:
            self._now = replace(last, ended=moment)
            self._close()
            self._now = Period(moment, moment, verdict.status, reasons, counted)
            self._changed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Write at each change and at each beat, until ``stop``; then what is left."""
        beats = 0
        while not stop.is_set():
            await self._rest(stop)
            self.note(self._state.verdict())
            await self.write()
            if beats % _FORGET_EVERY_BEATS == 0:
                await self._forget()
            beats += 1

    async def write(self) -> None:
        """Write everything up to now; it waits for the next time where PostgreSQL does not take it."""
        self._close()
        periods = list(self._waiting)
        if not periods:
            return
        self._waiting.clear()
        try:
            await self._database.execute(
                _QUERIES["add_verdicts"],
                self._healthd,
                *columns(map(self._verdict, periods), 6),
                within_seconds=self._within_seconds,
            )
        except DATABASE_ERRORS as error:
            self._waiting.extendleft(reversed(periods))
            self._note_problem(reason_of(error))
        else:
            self._note_problem(None)

    def _close(self) -> None:
        """End the period of now, and begin the next with the same status; one that waits goes on instead."""
        now = self._now
        if now is None or now.ended == now.began:
            return
        self._now = Period(now.ended, now.ended, now.status)
        if self._waiting and self._waiting[-1].joins(now):
            now = self._waiting.pop().with_(now)
        self._waiting.append(now)

    def _verdict(self, one: Period) -> tuple[object, ...]:
        """A period in the order of the statement."""
        moment, counted = self._state.now(), one.counted
        ages = (moment - one.began, moment - one.ended)
        return (*ages, one.status.value, ",".join(sorted(one.reasons)), counted.pool_timeouts, counted.errors_lost)

    async def _rest(self, stop: asyncio.Event) -> None:
        stopping, changing = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({stopping, changing}, timeout=self._beat_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            changing.cancel()
        self._changed.clear()

    async def _forget(self) -> None:
        with contextlib.suppress(*DATABASE_ERRORS):  # the next hour does it
            await self._database.execute(
                _QUERIES["forget_verdicts"], self._retain_days, within_seconds=self._within_seconds
            )

    def _note_problem(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            logs.get_logger().warning("verdicts_not_recorded", reason=problem)
        self._problem = problem
