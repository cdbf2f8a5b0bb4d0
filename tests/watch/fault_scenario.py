"""
A short life with everything in it: a day of payments, each kind of odd webhook, and what fails does fail.

It goes on until Prometheus has seen each trouble, so that every panel has something to show.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import aiohttp
import asyncpg
import nats

from devstack.stack import Stack
from devstack.stripe_endpoint import ENDPOINT_ID
from sluice.contract.codec import Envelope, encode
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import subject_for
from sluice.simulator.day import send_day
from sluice.simulator.demo import create_demo_events
from sluice.simulator.stripe_api.listing import Entry, StoredListing
from tests.ingest.webhooks import signed, webhook
from tests.processor.harness import thin_event
from tests.stripe_world import bare_event
from tests.system.traffic import PATH, Traffic, payment_succeeded
from tests.waiting import until
from tests.watch.prometheus import Prometheus

SETTINGS: Mapping[str, str] = {
    "DATABASE_POOL_MIN_SIZE": "1",
    "DATABASE_POOL_MAX_SIZE": "1",  # a pool that can be used up
    "ACK_WAIT_SECONDS": "2",  # what is not answered comes again before the test ends
    "HANDLER_SECONDS": "0.6",
    "LOCK_SECONDS": "0.3",
    "CANARY_SECONDS": "60",  # a ping at the start, and quiet while things are counted
}
RUSH = 300
"""Webhooks at once: more than a processor fetches in one go."""
_SECRET = "whsec_of_an_organiser_in_the_scenario"
_NOBODY = "7d0f2d5e-0000-4000-8000-000000000000"
_UNWELCOME = "ALTER TABLE payment_fact ADD CONSTRAINT unwelcome CHECK (payment_id <> 'pi_unwelcome')"

Books: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class FaultScenario:
    """Everything that a stack may meet, in the order in which it is sent."""

    stack: Stack
    prometheus: Prometheus
    books: Books
    traffic: Traffic

    @classmethod
    async def over(cls, stack: Stack, prometheus: Prometheus, books: Books) -> None:
        """Let it pass, to the end."""
        row = await books.fetchval("INSERT INTO events (name) VALUES ('paid amid faults') RETURNING id::text")
        scenario = cls(stack, prometheus, books, Traffic(stack.gateway_url, stack.webhook_secret, [row]))
        await scenario.see("max(endpoint_ping_echo_timestamp_seconds) > 0")
        await scenario.the_endpoint_is_disabled()
        await scenario.a_day_of_payments()
        await scenario.some_never_arrive()
        await scenario.odd_ones()
        await scenario.something_is_paused()
        await scenario.everything_waits()
        await scenario.nats_goes_away()
        await scenario.see("healthd_webhooks_failing > 0")
        await scenario.see(f"min(timestamp(up)) > {time.time()}")

    async def see(self, condition: str) -> None:
        """Wait until Prometheus has seen it."""
        await until(lambda: self.prometheus.says(condition), within_seconds=30, what=f"Prometheus sees {condition}")

    async def the_endpoint_is_disabled(self) -> None:
        """A person disables our endpoint at Stripe, and enables it again."""
        stripe = self.stack.stripe
        assert stripe is not None
        endpoints = stripe.endpoints[False]
        endpoints[ENDPOINT_ID] = {**endpoints[ENDPOINT_ID], "status": "disabled"}
        await self.see('max(endpoint_findings{finding="disabled"}) > 0')
        endpoints[ENDPOINT_ID] = {**endpoints[ENDPOINT_ID], "status": "enabled"}

    async def a_day_of_payments(self) -> None:
        """Repeats, disorder, an unknown type, and a forgery."""
        events = await create_demo_events(self.books)
        day = await send_day(self.stack.gateway_url, self.stack.webhook_secret, events=events)
        assert day.is_as_expected

    async def some_never_arrive(self) -> None:
        """Stripe lists a webhook that it does not deliver, and something that is none."""
        stripe, now = self.stack.stripe, int(time.time())
        assert stripe is not None
        await self.see('sum(reconcile_events_total{outcome="refused"}) == 0')
        stripe.happened(bare_event(1, created=now))
        listing = stripe.events[False, None]
        assert isinstance(listing, StoredListing)
        listing.put(Entry("evt_odd", now, {"id": "evt_odd", "object": "charge"}))
        await self.see('sum(reconcile_events_total{outcome="filled"}) > 0')
        await self.see("max(reconcile_gap_events) > 0")

    async def odd_ones(self) -> None:
        """One that fails, one that waits for its row, one not to be applied, one that is none, and a stranger's."""
        await self.books.execute(_UNWELCOME)
        row = self.traffic.events[0]
        odd = (
            payment_succeeded("evt_fails", "pi_unwelcome", events_id=row),
            payment_succeeded("evt_parked", "pi_parked", events_id=_NOBODY),
        )
        assert await self.post(*odd) == [200, 200]
        await self._one_that_no_key_of_ours_can_fetch()
        assert await self.post(b"no JSON at all") == [400]
        await self.see("healthd_webhooks_parked > 0")
        client = await nats.connect(self.stack.nats_url)
        await client.jetstream().publish("stripe.live.platform.stranger", b"not of our contract")
        await client.close()

    async def _one_that_no_key_of_ours_can_fetch(self) -> None:
        """An organiser's thin event is given up."""
        organiser = await self.books.fetchval(
            "INSERT INTO events (name, webhook_secret) VALUES ('an organiser', $1) RETURNING id::text", _SECRET
        )
        assert await self.post(
            thin_event("evt_thin", "v1.payment_intent.succeeded").body, path=f"{PATH}/{organiser}", secret=_SECRET
        ) == [200]

    async def something_is_paused(self) -> None:
        """An operator lets a type of events wait, and ends that."""
        pause = await self.books.fetchval("SELECT sluice_begin_pause('type', 'payment_intent.suc*', 'why', 'ada')")
        await self.see("healthd_pauses > 0")
        paused = payment_succeeded("evt_paused", "pi_paused", events_id=self.traffic.events[0])
        assert await self.post(paused) == [200]
        await self.see("healthd_webhooks_paused > 0")
        await self.books.fetch("SELECT sluice_end_pauses(ARRAY[$1::bigint], 'mended', 'ada')", pause)
        await self.see("healthd_webhooks_paused == 0")
        await self.see("sum(webhook_events_resumed_total) > 0")

    async def everything_waits(self) -> None:
        """A session locks the payments, then the log itself; Stripe goes on sending."""
        async with self.traffic.flowing(per_second=20), self.books.transaction():
            await self._a_rush_while_handlers_wait()
            await self._ingest_waits_too()

    async def _a_rush_while_handlers_wait(self) -> None:
        await self.books.execute("LOCK TABLE payment_fact IN ACCESS EXCLUSIVE MODE")
        await self.traffic.burst([self.traffic.payment() for _ in range(RUSH)], times=1)
        await self.see("healthd_stream_pending > 0 and healthd_stream_ack_pending > 0")
        await self.see("healthd_oldest_unprocessed_age_seconds > 0")
        await self._the_processor_stands_still()

    async def _the_processor_stands_still(self) -> None:
        """For longer than JetStream waits for its answers: what it holds comes again."""
        os.kill(self.stack.services["processor"].pid, signal.SIGSTOP)
        try:
            await self.see('max_over_time(up{component="processor"}[3s]) == 0')
        finally:
            os.kill(self.stack.services["processor"].pid, signal.SIGCONT)
        await self.see("sum(webhook_messages_redelivered_total) > 0")

    async def _ingest_waits_too(self) -> None:
        await self.books.execute("LOCK TABLE webhook_logs IN ACCESS EXCLUSIVE MODE")
        await self._publish_known()  # so that the processor has something to claim
        await self.see("journal_queue_rows > 0")
        await self.see("postgres_pool_waiters > 0")
        await self.see("postgres_pool_acquire_timeouts_total > 0")
        await self.see("processor_outage == 1")
        await self.traffic.answered_more(503, 1, within_seconds=30)

    async def nats_goes_away(self) -> None:
        """Webhooks are taken in all the same; what was not published is, once it is back."""
        await self.stack.servers.nats.stop()
        await self.see('nats_connected{component="ingest"} == 0')
        assert await self.post(webhook()) == [200]
        await self.see("sum(webhook_events_taken_directly_total) > 0")
        await self.stack.servers.nats.restart()
        await self.see('nats_connected{component="ingest"} == 1')
        await self.a_message_is_lost()
        await self.a_row_is_lost()
        await self.a_message_is_forged()

    async def a_message_is_lost(self) -> None:
        """JetStream forgot one; the relay sees that the consumer has passed it."""
        await self.see("processor_direct == 0")  # else the processor takes it from PostgreSQL before the relay looks
        await self.books.execute(
            "UPDATE webhook_logs SET processed = false, outcome = NULL, published_at = now() - interval '1 minute', "
            "next_attempt_at = now() WHERE id = (SELECT max(id) FROM webhook_logs WHERE processed)"
        )
        await self.books.execute("UPDATE queue_watermark SET untried_from = '-infinity', moved_at = now()")
        await self.see("sum(relay_repairs_total) > 0")

    async def a_row_is_lost(self) -> None:
        """PostgreSQL is restored from a backup; the stream still holds what came after it."""
        await self._publish(read_event(payment_succeeded("evt_lost", "pi_lost", events_id=self.traffic.events[0])))
        await self.see("sum(webhook_events_missing_total) > 0")

    async def a_message_is_forged(self) -> None:
        """Another client publishes under the id of a webhook that is known."""
        await self._publish_known()
        await self.see("sum(webhook_messages_forged_total) > 0")

    async def _publish_known(self) -> None:
        """Publish another body under the id of a webhook that is known."""
        await self._publish(replace(read_event(webhook()), stripe_event_id=next(iter(self.traffic.acknowledged))))

    async def _publish(self, event: StripeEvent) -> None:
        client = await nats.connect(self.stack.nats_url)
        await client.jetstream().publish(subject_for(event), encode(Envelope(event, 0)))
        await client.close()

    async def post(self, *bodies: bytes, path: str = PATH, secret: str = "") -> Sequence[int]:
        """Post webhooks, one after the other; the HTTP statuses."""
        secret, statuses = secret or self.stack.webhook_secret, []
        async with aiohttp.ClientSession(self.stack.gateway_url) as session:
            for body in bodies:
                async with session.post(path, data=body, headers=signed(body, secret)) as answer:
                    statuses.append(answer.status)
        return statuses
