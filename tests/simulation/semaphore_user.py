"""A program's semaphore: acquire with a timeout, release one's own permits, or anybody's."""

from __future__ import annotations

from elector_server.elector import Elector
from elector_server.problems import HolderDead, LimitMismatch, NoPermit, SemaphoreFull
from elector_server.rules.semaphore import KIND, Terms
from elector_server.semaphores import Heard, PermitGranted
from tests.simulation.calls import FOREVER, LAST_PATIENCE_SECONDS, Unavailable, User, poll_seconds
from tests.simulation.client import SimulatedClient
from tests.simulation.history import SharedCall
from tests.simulation.holds import ClientHold
from tests.simulation.pod import Departure

FULL = "full"
MISMATCH = "mismatch"


class SemaphoreUser(User):
    """One process and one semaphore."""

    kind = KIND

    def __init__(self, client: SimulatedClient, name: str, limit: int, *, bounded: bool = False) -> None:
        super().__init__(client, name)
        self.terms = Terms(limit, bounded)

    async def acquire(self, seconds: float) -> ClientHold | None:
        """Acquire a permit within `seconds`; None if there was none."""
        await self.client.open()
        give_up_at = self.client.now() + seconds
        call = self.begin("acquire", self.new_id(), seconds=seconds)
        while True:
            hold = await self._try(call, poll_seconds(self.client, give_up_at))
            if hold is not None or call.outcome == MISMATCH:
                return hold
            if self.client.now() >= give_up_at:
                self.client.give_back(self.name, call.id, KIND)
                return self.end(call, None)

    async def _try(self, call: SharedCall, wait_seconds: float) -> ClientHold | None:
        sent_at = self.client.now()
        try:
            answer = await self.poll(call.id, wait_seconds)
        except HolderDead:
            call.id = self.new_id()
        except LimitMismatch:
            self.end(call, MISMATCH)
        except (NoPermit, Unavailable):
            pass
        else:
            if answer is not None:
                hold = ClientHold(self.name, answer.holder, answer.token, answer.incarnation, kind=KIND)
                if await self.client.granted(hold, answer.valid_seconds, sent_at):
                    return self.end(call, hold)
                call.id = self.new_id()
        return None

    async def poll(self, holder: str, wait_seconds: float) -> PermitGranted | None:
        """One long poll, and the elector's answer."""

        async def acquire(elector: Elector, departure: Departure, seconds: float) -> PermitGranted | None:
            return await elector.semaphores.acquire(self.name, self.client.id, holder, self.terms, seconds, departure)

        granted = await self.ask("acquire", acquire, wait_seconds)
        if granted is not None:
            self.client.operations[self.name] = granted.operations
        return granted

    async def release(self, *holds: ClientHold, permits: int | None = None) -> SharedCall:
        """Give back these holds and, up to `permits`, permits of anybody. Goes on by itself if that takes long."""
        for hold in holds:
            self.client.drop(hold, "released")
        own = [hold.holder for hold in holds]
        call = self.begin("release", self.new_id(), permits=len(own) if permits is None else permits, own=own, sent=[])
        returning = list(holds)
        releasing = self.client.run(self._release(call, returning))
        try:
            async with self.client.pod.clock.timeout(LAST_PATIENCE_SECONDS):
                await releasing
        except TimeoutError:
            self.client.run(self._release(call, returning))
        return call

    async def _release(self, call: SharedCall, returning: list[ClientHold]) -> None:
        others = call.details["permits"] - len(call.details["own"])
        heard: list[Heard] = []

        async def release(elector: Elector, *_: object) -> int:
            self._part_with_uncertain(returning)
            own = [hold.holder for hold in returning]
            if not own and not others:
                return 0
            call.details["sent"].append((len(own) + others, own))
            if not heard:
                heard.append(Heard(self.client.incarnation, self.client.operations.get(self.name, 0)))
            released = await elector.semaphores.release(
                self.name, self.client.id, call.id, self.terms, len(own) + others, own, heard[0]
            )
            return released.value

        try:
            self.end(call, await self.insist("release", release, FOREVER))
        except SemaphoreFull:
            self._refused(call, FULL, returning)
        except LimitMismatch:
            self._refused(call, MISMATCH, returning)

    def _part_with_uncertain(self, returning: list[ClientHold]) -> None:
        """What may have been freed by time alone is given up by its id instead: nobody else's permit goes for it."""
        for hold in [hold for hold in returning if self.client.now() >= self.client.deadline_of(hold)]:
            returning.remove(hold)
            self.client.give_back(self.name, hold.holder, KIND)

    def _refused(self, call: SharedCall, outcome: str, returning: list[ClientHold]) -> None:
        self.end(call, outcome)
        for hold in returning:
            self.client.give_back(self.name, hold.holder, KIND)
