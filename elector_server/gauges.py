"""How much of what there is right now, by kind: for the metrics, and for whoever ends the elector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elector_server.rules import barrier, condition, event, lock, semaphore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from elector_server.core import Core
    from elector_server.participants import Member


def holds(core: Core) -> Mapping[str, int]:
    """The locks and permits that this elector's clients were told they hold."""
    return {
        lock.KIND: sum(named.hold is not None for named in core.names.values()),
        semaphore.KIND: sum(member.is_told for member in _members(core, semaphore.KIND)),
    }


def waits(core: Core) -> Mapping[str, int]:
    """The acquisitions that wait here, the waits for events and notifications, and the parties at barriers."""
    return {
        lock.KIND: sum(named.waiters for named in core.names.values()),
        semaphore.KIND: sum(not member.is_told for member in _members(core, semaphore.KIND)),
        event.KIND: sum(record.waits for record in core.records.values() if record.kind == event.KIND),
        condition.KIND: sum(1 for _ in _members(core, condition.KIND)),
        barrier.KIND: sum(1 for _ in _members(core, barrier.KIND)),
    }


def _members(core: Core, kind: str) -> Iterator[Member]:
    for record in core.records.values():
        if record.kind == kind:
            yield from record.members.values()
