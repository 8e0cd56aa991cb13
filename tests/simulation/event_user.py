"""A program's event: set, clear, wait with a timeout."""

from __future__ import annotations

from elector_server.elector import Elector
from elector_server.events import EventSeen
from elector_server.rules.event import KIND
from tests.simulation.calls import PATIENCE_SECONDS, Unavailable, User, poll_seconds
from tests.simulation.pod import Departure


class EventUser(User):
    """One process and one event."""

    kind = KIND

    async def put(self, *, is_set: bool) -> EventSeen | None:
        """Set or clear it. None if it is not known whether that was done."""
        await self.client.open()
        call = self.begin("set" if is_set else "clear", self.new_id())

        async def put(elector: Elector, *_: object) -> EventSeen:
            return await elector.events.put(self.name, self.client.id, call.id, is_set=is_set)

        try:
            return self.end(call, await self.insist("put", put, PATIENCE_SECONDS))
        except Unavailable:
            return None

    async def wait(self, seconds: float) -> bool | None:
        """Wait until it is set; False if that did not happen in time, None if nobody knows."""
        await self.client.open()
        give_up_at = self.client.now() + seconds
        call = self.begin("wait", self.new_id(), seconds=seconds)
        since: int | None = None
        while True:
            knows = False
            try:
                # The first look only asks how often it was set: no later `set` is missed then, whatever happens.
                wait_seconds = 0.0 if since is None else poll_seconds(self.client, give_up_at)
                seen = await self.poll(since, wait_seconds)
            except Unavailable:
                pass
            else:
                knows, since = True, seen.generation
                call.details.setdefault("looked", self.now())
                if seen.is_set:
                    return self.end(call, True)
            if self.client.now() >= give_up_at:
                return self.end(call, False) if knows else None

    async def poll(self, since: int | None, wait_seconds: float) -> EventSeen:
        """One long poll, and the elector's answer."""

        async def wait(elector: Elector, departure: Departure, seconds: float) -> EventSeen:
            return await elector.events.wait(self.name, self.client.id, since, seconds, departure)

        return await self.ask("wait", wait, wait_seconds)
