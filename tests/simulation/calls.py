"""What programs do with semaphores, events, conditions and barriers has in common: one call, many requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from elector_server.elector import Elector
from elector_server.problems import (
    ElectorBusy,
    ElectorStarting,
    ElectorStopping,
    NoRoom,
    Problem,
    StoreDown,
    UnknownClient,
)
from tests.simulation.client import POLL_SECONDS_MAX, SimulatedClient
from tests.simulation.history import SharedCall
from tests.simulation.pod import Departure

T = TypeVar("T")

PATIENCE_SECONDS = 5.0
LAST_PATIENCE_SECONDS = 1.0
FOREVER = 1e9

NotNow = (ElectorBusy, ElectorStarting, ElectorStopping, NoRoom, StoreDown, ConnectionError, TimeoutError)

Request = Callable[[Elector, Departure, float], Awaitable[T]]


class Unavailable(Exception):
    """No answer came in time: whether the call was carried out is not known."""


class User:
    """One process as a user of one name. Each call is written down in the history."""

    kind = ""

    def __init__(self, client: SimulatedClient, name: str) -> None:
        self.client = client
        self.name = name

    def new_id(self) -> str:
        """A fresh holder or operation id."""
        return self.client.new_holder()

    def now(self) -> float:
        """The true time, for the history."""
        return self.client.pod.network.loop.time()

    def begin(self, what: str, call_id: str, **details: Any) -> SharedCall:
        """Note that a call begins."""
        call = SharedCall(self.kind, self.name, what, call_id, self.client.name, self.now(), details)
        self.client.pod.history.shared.append(call)
        return call

    def end(self, call: SharedCall, outcome: T) -> T:
        """Note that a call has returned."""
        call.ended, call.outcome = self.now(), outcome
        return outcome

    async def ask(self, what: str, request: Request[T], wait_seconds: float = 0.0, call_id: str = "") -> T:
        """One request, as the elector's HTTP resources pass it on.

        Raises:
            Problem: the elector's refusal.
            Unavailable: not now; a moment has passed since.
        """

        async def admitted(elector: Elector, departure: Departure) -> T:
            seconds = await elector.admit(wait_seconds)
            return await request(elector, departure, seconds)

        try:
            return await self.client.call(f"{what} {self.kind} {self.name} {call_id}", admitted, wait_seconds)
        except UnknownClient:
            await self.client.attach()
            await self.client.rest()
        except NotNow:
            await self.client.rest()
        except Problem:
            raise
        raise Unavailable

    async def insist(self, what: str, request: Request[T], seconds: float, call_id: str = "") -> T:
        """Ask again and again for at most so long: the elector does it once.

        Raises:
            Problem: the elector's refusal.
            Unavailable: there was no answer.
        """
        give_up_at = self.client.now() + seconds
        while True:
            try:
                return await self.ask(what, request, call_id=call_id)
            except Unavailable:
                if self.client.now() >= give_up_at:
                    raise


def poll_seconds(client: SimulatedClient, give_up_at: float) -> float:
    """How long the next long poll waits."""
    return min(POLL_SECONDS_MAX, max(0.0, give_up_at - client.now()))
