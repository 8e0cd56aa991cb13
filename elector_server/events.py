"""Events for clients: set, clear, wait. What is decided stands in `rules.event`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from elector_server.parking import Departed, Departure
from elector_server.participants import Participants, once
from elector_server.rules import event as rules
from elector_server.rules.event import KIND, Event

if TYPE_CHECKING:
    from elector_server.client_sessions import ClientSessions
    from elector_server.core import Core
    from elector_server.rules.shared import At


class EventSeen(NamedTuple):
    """An event as a caller is told of it. For a waiter, `is_set` says that it passes."""

    name: str
    is_set: bool
    generation: int


class Events(Participants[Event]):
    """The events of this elector's clients. Waiters leave no trace: the generation tells what they missed."""

    def __init__(self, core: Core, client_sessions: ClientSessions) -> None:
        super().__init__(core, client_sessions, KIND)

    async def put(self, name: str, client_id: str, operation: str, *, is_set: bool) -> EventSeen:
        """Set or clear it.

        Raises:
            UnknownClient: the client has no session here.
            StoreDown: not now.
        """
        self._heard(client_id, name)

        def change(event: Event | None, at: At) -> tuple[Event, Event]:
            changed = rules.put(event, at, is_set=is_set)
            return changed, changed

        record = self._record(name)
        event = await self._in_time(record, record.operation(once(operation), change, lambda event: event))
        if is_set:
            self._core.count("sets")
        return EventSeen(name, event.is_set, event.generation)

    async def wait(
        self, name: str, client_id: str, since: int | None, wait_seconds: float, departure: Departure
    ) -> EventSeen:
        """Wait until it is set, or was set since the generation `since`, for at most `wait_seconds`; 0 is one look.

        Raises:
            UnknownClient: the client has no session here.
            StoreDown: nothing can be known now.
        """
        self._heard(client_id, name)
        record = self._record(name)
        event = await self._fresh(record)
        begun = rules.generation_of(event) if since is None else since
        if rules.is_passed(event, begun):
            return EventSeen(name, is_set=True, generation=rules.generation_of(event))
        if wait_seconds == 0:
            return EventSeen(name, is_set=False, generation=begun)

        def see(event: Event | None) -> EventSeen | None:
            passed = rules.is_passed(event, begun)
            return EventSeen(name, is_set=True, generation=rules.generation_of(event)) if passed else None

        try:
            return await record.until(see, wait_seconds, departure)
        except (TimeoutError, Departed):
            self._check_silence(record)
            return EventSeen(name, is_set=False, generation=begun)
