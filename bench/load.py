"""
The load: one process, raw non-blocking sockets, requests signed before the clock starts.

Python can do this because it does so little: a send and a receive for each request. It reads an order as JSON from
standard input (so that no secret stands in argv) and prints one line of JSON.
"""

import itertools
import json
import re
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.webhooks import signed_requests

_RECEIVE_BYTES = 65_536
_PATIENCE_SECONDS = 30.0
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_EVENT_ID = re.compile(rb'"id": "(evt_\w+)"')


@dataclass(frozen=True, slots=True)
class Order:
    """Requests to send, and where."""

    port: int
    secret: str
    connections: int
    seconds: float
    first_serial: int
    prepared: int
    """How many requests to sign beforehand; the run ends when they are used up."""
    again: bool = False
    """Whether to begin with the first again, where repeats do no harm."""
    per_second: float = 0
    """A fixed rate, whatever becomes of the answers; 0: each connection sends as soon as it has its answer."""


@dataclass(slots=True)
class Tally:
    """Answers that came back; times in seconds."""

    latencies: list[float] = field(default_factory=list)
    started: dict[str, float] = field(default_factory=dict)
    """At a fixed rate: when each event was due, by the wall clock."""
    refused: int = 0
    elapsed: float = 0.0
    busy: float = 0.0
    """Processor time of the generator itself."""

    def as_json(self) -> str:
        """One line for the parent process."""
        ordered = sorted(self.latencies)
        return json.dumps(
            {
                "acknowledged": len(ordered),
                "refused": self.refused,
                "acknowledged_per_second": len(ordered) / self.elapsed,
                "generator_cores": self.busy / self.elapsed,
                "p50_ms": percentile(ordered, 0.50) * 1e3,
                "p99_ms": percentile(ordered, 0.99) * 1e3,
                "started": self.started,
            }
        )


def percentile(ordered: list[float], share: float) -> float:
    """The value below which a share of the sorted values lies; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Connection:
    """One connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setblocking(False)
        self._received = b""
        self.due = 0.0
        self.number = self._sock.fileno()

    def send(self, request: bytes, due: float) -> None:
        """Start a request; ``due`` is what its latency is counted from."""
        self.due = due
        sent = self._sock.send(request)
        if sent < len(request):  # larger than the socket's buffer: rare, and worth no code of its own
            self._sock.setblocking(True)
            self._sock.sendall(request[sent:])
            self._sock.setblocking(False)

    def status(self) -> int | None:
        """The answer's status once it is complete."""
        self._received += self._sock.recv(_RECEIVE_BYTES)
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or len(body) < (int(length[1]) if length else 0):
            return None
        self._received = b""
        return int(head[9:12])

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class Load:
    """Sends an order's requests and notes what comes back."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._requests = _signed(order)
        self._tally = Tally()
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._free: deque[Connection] = deque()

    def run(self) -> Tally:
        """Send until the time or the requests are used up, then let every request end."""
        for _ in range(self._order.connections):
            connection = Connection(self._order.port)
            self._connections[connection.number] = connection
            self._free.append(connection)
            self._poll.register(connection.number, select.EPOLLIN)
        began, idle = time.perf_counter(), time.process_time()
        self._drive(self._moments(began))
        self._tally.elapsed, self._tally.busy = time.perf_counter() - began, time.process_time() - idle
        for connection in self._connections.values():
            connection.close()
        return self._tally

    def _moments(self, began: float) -> Iterator[float]:
        """When the next request is due."""
        until = began + self._order.seconds
        for number in itertools.count():
            due = began + number / self._order.per_second if self._order.per_second else time.perf_counter()
            if due >= until:
                return
            yield due

    def _drive(self, moments: Iterator[float]) -> None:
        due = next(moments, None)
        while due is not None or len(self._free) < len(self._connections):
            while due is not None and self._free and due <= time.perf_counter():
                due = next(moments, None) if self._send(self._free.popleft(), due) else None
            wait = _PATIENCE_SECONDS if due is None or not self._free else max(0.0, due - time.perf_counter())
            ready = self._poll.poll(wait)
            if not ready and wait == _PATIENCE_SECONDS:
                raise TimeoutError(f"no answer within {_PATIENCE_SECONDS} s")
            for number, _ in ready:
                self._take(self._connections[number])

    def _send(self, connection: Connection, due: float) -> bool:
        request = next(self._requests, None)
        if request is None:
            self._free.append(connection)
            return False
        if self._order.per_second and (found := _EVENT_ID.search(request)):
            self._tally.started[found[1].decode()] = time.time() - (time.perf_counter() - due)
        connection.send(request, due if self._order.per_second else time.perf_counter())
        return True

    def _take(self, connection: Connection) -> None:
        status = connection.status()
        if status is None:
            return
        if status == 200:  # noqa: PLR2004
            self._tally.latencies.append(time.perf_counter() - connection.due)
        else:
            self._tally.refused += 1
        self._free.append(connection)


def _signed(order: Order) -> Iterator[bytes]:
    endless = signed_requests(order.secret, host=f"127.0.0.1:{order.port}", first_serial=order.first_serial)
    prepared = list(itertools.islice(endless, order.prepared))
    return itertools.cycle(prepared) if order.again else iter(prepared)


if __name__ == "__main__":
    print(Load(Order(**json.load(sys.stdin))).run().as_json())
