"""The rules of a lock record: who holds, who is next, and which token the hold has.

The record exists exactly while the lock is held (or its holder's session is dead and nobody has taken it yet).

               claim                     hand_on, queue empty
    (free) ─────────────> held ─────────────────────────────────> (free)
                           │ ^
                   enqueue │ │ hand_on: the first ticket holds, one write
                   leave   └─┘ confirm: the same hold under an adopter's epoch

* A hold is the triple (holder, session, epoch). All three are compared by whoever grants, releases or removes.
* Token: of a hold made by `create`, the version of that write; of one made by `replace`, the version replaced + 1,
  written into the record. Whoever replaces a created record writes its token down, and where the field is there it
  alone counts. So tokens rise over hand-offs and over delete and create, and are never above the version of the
  write that made them.
* The queue holds one ticket per elector, first come, first served. The local waiters of an elector stand behind it.
* `hand_on` needs no permission here: its caller is the holder's elector, or has seen the holder's session end.

`version` is always the version of the record that was read and will be replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from elector_server.rules.claimant import Claimant, Hold, SessionEnded, claimant_from_spec, claimant_to_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND: Final = "lock"
"""The store's word for these records."""

QUEUE_TICKETS_MAX: Final = 1_000

QUEUE_METADATA_BYTES_MAX: Final = 512 * 1024
"""Of all tickets together: what one object may have in etcd is 1.5 MB, and the tickets need the rest."""


class QueueFull(Exception):
    """The queue has as many tickets as one record may hold, or as much metadata. `tickets` wait already."""

    def __init__(self, tickets: int) -> None:
        super().__init__(f"{tickets} electors wait already, and the queue has no room for more")
        self.tickets = tickets


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock record says. `token` is None until somebody replaces the record that a `create` made."""

    claimant: Claimant
    acquired_at: str
    token: int | None
    queue: tuple[Claimant, ...]

    @property
    def hold(self) -> Hold:
        """Who holds."""
        return self.claimant.hold

    def to_spec(self) -> dict[str, Any]:
        """The stored form; tokens are decimal text because other languages' numbers end at 2**53."""
        spec = claimant_to_spec(self.claimant)
        spec["acquired_at"] = self.acquired_at
        if self.token is not None:
            spec["token"] = str(self.token)
        if self.queue:
            spec["queue"] = [claimant_to_spec(ticket) for ticket in self.queue]
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Lock:
        """Read the stored form."""
        token = spec.get("token")
        return cls(
            claimant=claimant_from_spec(spec),
            acquired_at=spec.get("acquired_at", ""),
            token=None if token is None else int(token),
            queue=tuple(claimant_from_spec(ticket) for ticket in spec.get("queue", ())),
        )


def claim(claimant: Claimant, wall: str) -> Lock:
    """The record to create for a free lock."""
    return Lock(claimant=claimant, acquired_at=wall, token=None, queue=())


def token_of(lock: Lock, version: int) -> int:
    """The fencing token of the hold that the record of `version` shows."""
    return version if lock.token is None else lock.token


def hand_on(
    lock: Lock, version: int, wall: str, *, ended: SessionEnded, local: Claimant | None, session: str
) -> Lock | None:
    """What takes the place of a hold that is over: the next holder's record, or None when nobody waits.

    Args:
        lock: the record as read, at `version`.
        version: the version that the caller will replace or delete.
        wall: the time of day, for people.
        ended: whether a session is known to have ended; its tickets are dropped on the way.
        local: the caller's own first waiter, if it has one.
        session: the caller's session; its old tickets are replaced by `local`.

    The caller's waiter keeps the place of its ticket in the queue, and goes to the tail if it had none.
    """
    queue = _placed(tuple(ticket for ticket in lock.queue if not ended(ticket.hold.session)), session, local)
    if not queue:
        return None
    return Lock(claimant=queue[0], acquired_at=wall, token=version + 1, queue=queue[1:])


def enqueue(lock: Lock, version: int, ticket: Claimant) -> Lock:
    """The record with this elector's ticket in the queue: in the place of its old one, else at the tail.

    Raises:
        QueueFull: the queue is as long as it may be.
    """
    return _with_queue(lock, version, _placed(lock.queue, ticket.hold.session, ticket))


def leave(lock: Lock, version: int, session: str) -> Lock:
    """The record without the tickets of this session."""
    return _with_queue(lock, version, _placed(lock.queue, session, None))


def confirm(lock: Lock, version: int, claimant: Claimant, presented_token: int | None) -> Lock:
    """The same hold under the epoch of an elector that adopted its session.

    Only after this write may the adopter tell anybody that the hold is still theirs: a release that the process before
    it had in flight now finds another version. The client's token is taken if it can be right.
    """
    token = token_of(lock, version)
    if lock.token is None and presented_token is not None and 0 < presented_token <= version:
        token = presented_token
    return replace(lock, claimant=claimant, token=token)


def _with_queue(lock: Lock, version: int, queue: tuple[Claimant, ...]) -> Lock:
    return replace(lock, token=token_of(lock, version), queue=queue)


def _placed(queue: tuple[Claimant, ...], session: str, ticket: Claimant | None) -> tuple[Claimant, ...]:
    """The queue with `ticket` as the only one of `session`: where the first one stood, else at the tail."""
    places = [place for place, other in enumerate(queue) if other.hold.session == session]
    others = [other for other in queue if other.hold.session != session]
    if ticket is not None:
        others.insert(places[0] if places else len(others), ticket)
    if len(others) > QUEUE_TICKETS_MAX or (ticket is not None and ticket.metadata and _has_much_metadata(others)):
        raise QueueFull(len(queue))
    return tuple(others)


def _has_much_metadata(queue: list[Claimant]) -> bool:
    return sum(len(ticket.metadata.encode()) for ticket in queue) > QUEUE_METADATA_BYTES_MAX
