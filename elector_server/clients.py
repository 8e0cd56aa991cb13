"""The application processes that this elector knows: their heartbeats, their streams, their losses.

    (unknown) ── open ──> known ── heartbeat ──> known
                            │
                            ├── silent for the TTL ──────────────────┐
                            ├── stream ended by the peer, proven ────┼──> gone: everything it had is released
                            └── closed by itself ────────────────────┘

A broken connection is no proof of a death: a proxy or port-forward may stand in between. It is one only if the client
has named its own socket's address, that address is the one that the elector sees, it is loopback, and the peer ended
it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from elector_server.problems import UnknownClient
from metaparticle_sync import wire

if TYPE_CHECKING:
    from elector_server.clock import Clock
    from elector_server.durations import Durations
    from elector_server.named_record import NamedRecord


@dataclass(frozen=True, slots=True)
class Loss:
    """One hold that a client must stop believing in."""

    kind: str
    name: str
    holder: str
    reason: str
    is_returned: bool = False
    """Somebody else gave it back, as any release of a semaphore may: no harm was done."""

    def to_json(self) -> dict[str, Any]:
        """As it goes over the wire."""
        loss = {"kind": self.kind, "name": self.name, "holder": self.holder, "reason": self.reason}
        return loss | {"returned": True} if self.is_returned else loss


class Client:
    """One application process. `holds` and `waiting` map holder ids to names of locks, `members` to other records."""

    __slots__ = ("heard_at", "holds", "id", "losses", "members", "process", "streams", "waiting", "witness")

    def __init__(self, client_id: str, process: str, heard_at: float) -> None:
        self.id = client_id
        self.process = process
        self.heard_at = heard_at
        self.holds: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        self.members: dict[str, NamedRecord[Any]] = {}
        self.losses: dict[str, Loss] = {}
        self.streams: dict[ClientStream, None] = {}
        self.witness: str | None = None
        """The client's own address of the stream whose end proves its death."""

    def tell_loss(self, loss: Loss) -> None:
        """Keep the loss until it is acknowledged, and push it to every stream."""
        self.losses[loss.holder] = loss
        event = {"event": wire.EVENT_LOST} | loss.to_json()
        for stream in self.streams:
            stream.push(event)


class ClientStream:
    """One open streaming connection of a client."""

    def __init__(self, client: Client, peer: str, clients: Clients) -> None:
        self._client = client
        self._clients = clients
        self._events: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self.peer = peer
        self.push({"event": wire.EVENT_ATTACHED, "peer": peer, "tick_seconds": clients.durations.tick_seconds})
        for loss in client.losses.values():
            self.push({"event": wire.EVENT_LOST} | loss.to_json())

    def push(self, event: dict[str, Any]) -> None:
        """Send an event as soon as the stream is read."""
        self._events.append(event)
        self._arrived.set()

    def end(self) -> None:
        """Let `next` return None once everything is sent."""
        self._ended = True
        self._arrived.set()

    async def next(self) -> dict[str, Any] | None:
        """The next event; a tick if nothing happens for a while; None at the end."""
        if not self._events and not self._ended:
            try:
                async with self._clients.clock.timeout(self._clients.durations.tick_seconds):
                    await self._arrived.wait()
            except TimeoutError:
                return {"event": wire.EVENT_TICK}
        if self._events:
            event = self._events.popleft()
            if not self._events and not self._ended:
                self._arrived.clear()
            return event
        return None

    def closed(self, *, by_peer: bool) -> None:
        """The connection is gone; if its peer ended it, and it was a proven direct one, so is the process."""
        self._client.streams.pop(self, None)
        proven = by_peer and not self._ended and self._client.witness == self.peer and is_loopback(self.peer)
        self.end()
        if proven:
            self._clients.gone(self._client, "its process ended")


class Clients:
    """All known clients. `on_gone` is told of each that leaves, with the reason, while it still has its holds."""

    def __init__(self, clock: Clock, durations: Durations, on_gone: Callable[[Client, str], None]) -> None:
        self.clock = clock
        self.durations = durations
        self._on_gone = on_gone
        self._clients: dict[str, Client] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Any:
        return iter(list(self._clients.values()))

    def open(self, client_id: str, process: str) -> Client:
        """Begin a client session, or go on with it."""
        now = self.clock.now()
        client = self._clients.get(client_id)
        if client is not None and self._has_lapsed(client, now):
            self.gone(client, self._silent_reason())
            client = None
        if client is None:
            client = self._clients[client_id] = Client(client_id, process, now)
        client.heard_at = now
        client.process = process
        return client

    def find(self, client_id: str) -> Client | None:
        """The client, if it is known."""
        return self._clients.get(client_id)

    def heard(self, client_id: str) -> Client:
        """Note a sign of life.

        Raises:
            UnknownClient: there is no such session, or it lapsed.
        """
        client = self._clients.get(client_id)
        now = self.clock.now()
        if client is None or self._has_lapsed(client, now):
            raise UnknownClient(client_id)
        client.heard_at = now
        return client

    def believes_until(self, client: Client) -> float:
        """Until when, by the elector's clock, the client may believe in what it was told."""
        return client.heard_at + self.durations.client_belief_seconds

    def stream(self, client_id: str, peer: str) -> ClientStream:
        """Open a stream to a client.

        Raises:
            UnknownClient: there is no such session.
        """
        client = self.heard(client_id)
        stream = ClientStream(client, peer, self)
        client.streams[stream] = None
        return stream

    def gone(self, client: Client, reason: str) -> None:
        """The client is no more: forget it, and release what it had."""
        if self._clients.get(client.id) is client:
            del self._clients[client.id]
            self._on_gone(client, reason)
            for stream in list(client.streams):
                stream.end()

    def seconds_to_next_lapse(self) -> float:
        """How long nobody can have been silent for the TTL; with a lower bound, so that whoever asks never spins."""
        ttl = self.durations.client_ttl_seconds
        heard_first = min((client.heard_at for client in self._clients.values()), default=float("inf"))
        return min(max(heard_first + ttl - self.clock.now(), ttl / 40), ttl)

    def drop_silent(self) -> None:
        """Give up the clients that were silent for the TTL."""
        now = self.clock.now()
        for client in list(self._clients.values()):
            if self._has_lapsed(client, now):
                self.gone(client, self._silent_reason())

    def end_streams(self) -> None:
        """The elector is stopping: say so on every stream, and end it."""
        for client in self._clients.values():
            for stream in client.streams:
                stream.push({"event": wire.EVENT_STOPPING})
                stream.end()

    def _silent_reason(self) -> str:
        return f"its process was silent for {self.durations.client_ttl_seconds:g} s"

    def _has_lapsed(self, client: Client, now: float) -> bool:
        return now >= client.heard_at + self.durations.client_ttl_seconds


def is_loopback(address: str) -> bool:
    """Whether `host:port` names this machine itself."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
