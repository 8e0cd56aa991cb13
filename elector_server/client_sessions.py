"""The sessions of this elector's clients: opened, kept by heartbeats, brought back after a restart, closed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from elector_server.clients import Client, Clients, ClientStream, Loss
from elector_server.rules import semaphore
from elector_server.rules.lock import KIND
from elector_server.views import ClientStatus
from elector_server.waiters import Presented

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from elector_server.core import Core
    from elector_server.users import Used

log = logging.getLogger("elector")

MAKER_SECONDS: Final = 1.0
"""How long a semaphore, event, condition or barrier without a name waits for its maker when nobody else uses it."""


@dataclass(frozen=True, slots=True)
class PresentedHold:
    """A hold that a client says it has, from before this elector (re)started."""

    name: str
    holder: str
    token: int | None
    kind: str = KIND
    incarnation: str = ""


class ClientSessions:
    """What the elector does for clients as such; their locks are `NamedLock`'s."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.clients = Clients(core.clock, core.durations, self._gone)
        self.presenters: dict[str, Callable[[Client, PresentedHold, float], Awaitable[bool | None]]] = {}
        """Who finds out whether a hold of another kind than a lock still is one."""

    async def drop_silent(self) -> None:
        """Give up silent clients; runs until cancelled."""
        while True:
            await self._core.clock.sleep(self.clients.seconds_to_next_lapse())
            self.clients.drop_silent()

    def open_internal(self, process: str) -> Client:
        """A client inside this elector, which never lapses."""
        client = self.clients.open(f"{self._core.random.getrandbits(128):032x}", process)
        client.heard_at = float("inf")
        return client

    async def open(
        self, client_id: str, process: str, holds: Sequence[PresentedHold], stream: str | None, seconds: float
    ) -> ClientStatus:
        """Open a client session, or go on with it after a restart of either side.

        The store has `seconds` to say of the presented holds whether they still stand.
        """
        client = self.clients.open(client_id, process)
        self._core.users.come(client)
        client.witness = stream
        answers = await asyncio.gather(*(self._present(client, hold, seconds) for hold in holds))
        confirmed = [hold.holder for hold, answer in zip(holds, answers, strict=True) if answer is True]
        for hold, answer in zip(holds, answers, strict=True):
            if answer is False:
                self._core.dead.add(hold.holder)
                client.losses[hold.holder] = Loss(
                    hold.kind, hold.name, hold.holder, "the store no longer shows this hold"
                )
        return self.status(client, confirmed)

    async def _present(self, client: Client, hold: PresentedHold, seconds: float) -> bool | None:
        """Whether the hold still is one; None if that could not be found out in time."""
        if hold.kind != KIND:
            return await self.presenters[hold.kind](client, hold, seconds)
        lock = self._core.named(hold.name)
        if lock.hold is not None and lock.hold.holder == hold.holder:
            lock.hold.client = client
            lock.hold.reclaimed = True
            client.holds[hold.holder] = hold.name
            return True
        if hold.holder in self._core.dead:
            lock.kick()
            return False
        presented = Presented(hold.holder, client, hold.token)
        lock.present(presented)
        try:
            async with self._core.clock.timeout(seconds):
                return await presented.future is not None
        except TimeoutError:
            # It stays presented: a confirmation that lands later must find whose it is.
            return None

    def heartbeat(self, client_id: str, acknowledged: Sequence[str], stream: str | None) -> ClientStatus:
        """A client's sign of life.

        Raises:
            UnknownClient: its session lapsed, or this elector restarted.
        """
        client = self.clients.heard(client_id)
        client.witness = stream
        for holder in acknowledged:
            client.losses.pop(holder, None)
        return self.status(client, [])

    def stream(self, client_id: str, peer: str) -> ClientStream:
        """Open a client's stream of events.

        Raises:
            UnknownClient: there is no such session.
        """
        return self.clients.stream(client_id, peer)

    def status(self, client: Client, confirmed: Sequence[str]) -> ClientStatus:
        """What a client learns from each answer."""
        session = self._core.session
        return ClientStatus(
            client=client.id,
            incarnation=session.incarnation if session else "",
            not_ready=None if session else self._core.not_ready,
            valid_seconds=self.valid_seconds(client),
            ttl_seconds=self._core.durations.client_ttl_seconds,
            tick_seconds=self._core.durations.tick_seconds,
            holds=tuple(confirmed),
            lost=tuple(client.losses.values()),
        )

    def valid_seconds(self, client: Client) -> float:
        """How long the client may believe in its holds, from now."""
        session = self._core.session
        if session is None:
            return 0.0
        client_seconds = self.clients.believes_until(client) - self._core.clock.now()
        return max(0.0, min(session.valid_seconds(), client_seconds))

    def _gone(self, client: Client, reason: str) -> None:
        if client.holds or client.waiting or client.members:
            permits = _permits(client)
            log.info(
                "client %s (%s) is gone, %s: %d of its holds and %d of its waits end",
                client.id[:8],
                client.process,
                reason,
                len(client.holds) + permits,
                len(client.waiting) + len(client.members) - permits,
            )
        for holder, name in [*client.holds.items(), *client.waiting.items()]:
            self._core.give_up(name, client, holder)
        for holder, record in list(client.members.items()):
            self._core.dead.add(holder)
            record.leave(holder)
        left = self._core.users.gone(client)
        if left:
            self._core.background.start(self._remove(left))

    async def _remove(self, left: Sequence[Used]) -> None:
        """Nobody uses these; but a process that has just passed one on may not have come yet to say that it lives."""
        await self._core.clock.sleep(MAKER_SECONDS)
        for used in left:
            if self._core.users.is_left(used):
                self._core.recorded(*used).remove()


def _permits(client: Client) -> int:
    """How many of its members are permits that it was told it holds."""
    records = ((holder, record) for holder, record in client.members.items() if record.kind == semaphore.KIND)
    members = [record.members.get(holder) for holder, record in records]
    return sum(member is not None and member.is_told for member in members)
