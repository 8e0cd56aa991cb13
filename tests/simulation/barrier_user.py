"""A program's barrier: wait for the others with a timeout, run the action if it is the last one, abort, reset."""

from __future__ import annotations

import asyncio

from elector_server.barriers import ABORT, OPEN, RESET, Arrival
from elector_server.elector import Elector
from elector_server.problems import BarrierBroken, HolderDead, PartiesMismatch
from elector_server.rules.barrier import KIND, Barrier, Outcome, Place
from tests.simulation.calls import FOREVER, LAST_PATIENCE_SECONDS, PATIENCE_SECONDS, Unavailable, User, poll_seconds
from tests.simulation.client import SimulatedClient
from tests.simulation.history import SharedCall
from tests.simulation.pod import Departure

BROKEN = "broken"
MISMATCH = "mismatch"
RAN = "ran"
RAISED = "raised"


class BarrierUser(User):
    """One process and one barrier."""

    kind = KIND

    def __init__(self, client: SimulatedClient, name: str, parties: int) -> None:
        super().__init__(client, name)
        self.parties = parties

    async def wait(self, seconds: float, action_seconds: float | None = None, *, fails: bool = False) -> object:
        """Arrive and wait: the index in the generation, BROKEN, MISMATCH, or None if nobody knows."""
        await self.client.open()
        call = self.begin("wait", self.new_id(), seconds=seconds, parties=self.parties, acts=action_seconds is not None)
        give_up_at = self.client.now() + seconds
        place: Place | None = None
        while True:
            # The first request only arrives: whoever knows its place hears what became of it, whatever happens.
            wait_seconds = 0.0 if place is None else poll_seconds(self.client, give_up_at)
            try:
                arrival = await self.poll(call.id, place, wait_seconds, acts=call.details["acts"])
            except (BarrierBroken, HolderDead):
                return self.end(call, BROKEN)
            except PartiesMismatch:
                return self.end(call, MISMATCH)
            except Unavailable:
                pass
            else:
                place = call.details["place"] = arrival.place
                if arrival.outcome is Outcome.PASSED:
                    return self.end(call, place.index)
                if arrival.outcome is Outcome.ACTING:
                    return await self.act(call, action_seconds or 0.0, fails=fails)
            if self.client.now() >= give_up_at:
                return await self._leave_in_time(call)

    async def poll(self, holder: str, place: Place | None, wait_seconds: float, *, acts: bool) -> Arrival:
        """One request, and the elector's answer."""

        async def arrive(elector: Elector, departure: Departure, seconds: float) -> Arrival:
            return await elector.barriers.arrive(
                self.name, self.client.id, holder, self.parties, place, seconds, departure, acts=acts
            )

        return await self.ask("arrive", arrive, wait_seconds)

    async def act(self, call: SharedCall, seconds: float, *, fails: bool) -> object:
        """Run the action, then open the barrier, or abort it if the action has failed."""
        place: Place = call.details["place"]
        action = self.begin("action", call.id, place=place)
        await asyncio.sleep(seconds)
        self.end(action, RAISED if fails else RAN)
        if fails:
            await self.change(ABORT)
            return self.end(call, BROKEN)
        try:
            opening = call.details["open"] = self.new_id()
            await self._change(OPEN, opening, call.id, PATIENCE_SECONDS)
        except BarrierBroken:
            return self.end(call, BROKEN)
        except Unavailable:
            self.client.run(self._leave(call, FOREVER))
            return None
        return self.end(call, place.index)

    async def _leave_in_time(self, call: SharedCall) -> object:
        call.details["gave_up"] = self.now()
        try:
            return self.end(call, await self._leave(call, LAST_PATIENCE_SECONDS))
        except Unavailable:
            self.client.run(self._leave(call, FOREVER))
            return None

    async def _leave(self, call: SharedCall, patience_seconds: float) -> object:
        outcome, place = await self.leave(call.id, call.details.get("place"), patience_seconds)
        if place is not None:
            call.details["place"] = place
        known: Place | None = call.details.get("place")
        return known.index if outcome is Outcome.PASSED and known is not None else BROKEN

    async def leave(self, holder: str, place: Place | None, patience_seconds: float) -> tuple[Outcome, Place | None]:
        """Go, and hear what became of it."""

        async def leave(elector: Elector, *_: object) -> tuple[Outcome, Place | None]:
            return await elector.barriers.leave(self.name, self.client.id, holder, place)

        return await self.insist("leave", leave, patience_seconds)

    async def change(self, transition: str) -> Barrier | None:
        """Abort it, or reset it. None if it is not known whether that was done."""
        await self.client.open()
        call = self.begin(transition, self.new_id())
        try:
            return self.end(call, await self._change(transition, call.id, None, PATIENCE_SECONDS))
        except Unavailable:
            return None

    async def reset(self) -> Barrier | None:
        """Empty it again."""
        return await self.change(RESET)

    async def _change(self, transition: str, operation: str, holder: str | None, seconds: float) -> Barrier:
        async def change(elector: Elector, *_: object) -> Barrier:
            return await elector.barriers.change(self.name, self.client.id, operation, self.parties, transition, holder)

        return await self.insist(transition, change, seconds)
