"""What a lock keeps of its local clients: the waiter, the hold, the hold that somebody presents after a restart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elector_server.problems import HeldBy
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.lock import Lock, token_of

if TYPE_CHECKING:
    from elector_server.clients import Client
    from elector_server.own_session import OwnSession


@dataclass(slots=True)
class LocalHold:
    """A hold that this elector has told one of its clients. `version` is of the record that shows it."""

    name: str
    holder: str
    client: Client
    session: OwnSession
    token: int
    version: int
    claimant: Claimant
    reclaimed: bool = False
    """Whether its client came back for a grant that nobody listened to."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The good news."""

    hold: LocalHold


class Waiter:
    """One acquisition that waits here. Between two polls it has no future, and nobody listens."""

    __slots__ = ("_claimant", "_client", "_metadata", "_owner", "future", "generation", "holder", "legacy", "queues")

    def __init__(
        self, holder: str, client: Client, owner: str, *, queues: bool, legacy: bool = False, metadata: str = ""
    ) -> None:
        self.holder = holder
        self.queues = queues
        self.legacy = legacy
        self.generation = 0
        self.future: asyncio.Future[Grant] | None = None
        self._client = client
        self._owner = owner
        self._metadata = metadata
        self._claimant: Claimant | None = None

    @property
    def client(self) -> Client:
        """Whose acquisition it is."""
        return self._client

    def claimant(self, session: OwnSession) -> Claimant:
        """As it stands in a record under `session`."""
        claimant = self._claimant
        if claimant is None or (claimant.hold.session, claimant.hold.epoch) != (session.id, session.epoch):
            claimant = self._claimant = Claimant(
                hold=Hold(self.holder, session.id, session.epoch),
                client=self._client.id,
                owner=self._owner,
                process=self._client.process,
                lease_seconds=session.durations.lease_seconds,
                legacy=self.legacy,
                metadata=self._metadata,
            )
        return claimant

    def listen(self) -> asyncio.Future[Grant]:
        """A poll begins: the future of its answer. A poll of the same holder before it is let go."""
        self.generation += 1
        if self.future is not None and not self.future.done():
            self.future.cancel()
        self.future = asyncio.get_running_loop().create_future()
        return self.future

    def listener(self) -> asyncio.Future[Grant]:
        """The future of the poll that is under way."""
        if self.future is None:
            raise RuntimeError("a waiter to which nobody listens")
        return self.future

    def stop_listening(self) -> None:
        """The poll is over; the waiter keeps its place for a moment."""
        self.future = None

    def give(self, grant: Grant | None) -> bool:
        """Hand the grant to whoever listens; False if nobody does."""
        if grant is None or self.future is None or self.future.done():
            return False
        self.future.set_result(grant)
        return True

    def fail(self, error: Exception) -> None:
        """End the wait with an error."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # Whoever listened may be gone; that is no error of its own.


class Presented:
    """A hold of the process before, brought back by its client. None is the answer for one that is no more."""

    __slots__ = ("client", "future", "holder", "token")

    def __init__(self, holder: str, client: Client, token: int | None) -> None:
        self.holder = holder
        self.client = client
        self.token = token
        self.future: asyncio.Future[Grant | None] = asyncio.get_running_loop().create_future()

    def give(self, grant: Grant | None) -> bool:
        """Say what became of it."""
        if not self.future.done():
            self.future.set_result(grant)
        return True


def held_by(lock: Lock, version: int) -> HeldBy:
    """Who holds, without any secret."""
    return HeldBy(
        owner=lock.claimant.owner,
        process=lock.claimant.process,
        since=lock.acquired_at,
        token=str(token_of(lock, version)),
    )
