"""What the records of semaphores, events, conditions and barriers have in common.

Unlike a lock's, such a record stays when nobody uses it, and several electors write to it. Each change is one
conditional write that carries the id of its operation, and the record remembers the last ids: an elector that lost the
answer to its write reads the record and knows whether the change is in it. So every operation is done exactly once.

    write unanswered ── read: id remembered ──────────────────────────────> done
                           ├── not remembered, and nothing forgotten since ──> not done: decide again
                           └── too many operations since ────────────────────> nobody knows: the caller is told so

What a process wants from a record is a *claimant* in it: a permit, a ticket, an arrival. A claimant leaves when its
holder gives up, when its process is gone, and when its session has ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from elector_server.rules.claimant import Claimant, Hold, SessionEnded

OPERATIONS_REMEMBERED: Final = 32
CLAIMANTS_MAX: Final = 1_000
"""Holders, and besides them waiters, that one record has room for."""

_DIGEST_BYTES: Final = 8
"""Of each id, half is remembered. It depends on the whole id: not everybody's ids are random in each part."""

OBSERVED_MAX: Final = 32
"""Sessions that one elector observes for one record. Whoever sweeps sees to the rest."""


class Refusal(Exception):
    """The rules do not allow an operation now. Nothing was changed."""


class RecordFull(Refusal):
    """The record has as many claimants as it has room for."""


class TermsDiffer(Refusal):
    """Two users of one name disagree about what it is. `used_by` is who used it last."""

    def __init__(self, ours: str, theirs: str, used_by: Claimant | None) -> None:
        super().__init__(ours, theirs)
        self.ours = ours
        self.theirs = theirs
        self.used_by = used_by


@dataclass(frozen=True, slots=True)
class At:
    """Where and when something is decided.

    Attributes:
        version: of the record that was read and will be replaced; 0 if there is none.
        wall: the time of day, for people.
        session: of the elector that decides.
        ended: whether a session is known to have ended.
    """

    version: int
    wall: str
    session: str
    ended: SessionEnded


@dataclass(frozen=True, slots=True)
class Operations:
    """How many operations were applied to a record, and digests of the ids of the last of them."""

    count: int = 0
    last: tuple[str, ...] = ()

    def __contains__(self, operation: str) -> bool:
        return digest(operation) in self.last

    def plus(self, operation: str) -> Operations:
        """With one more."""
        return Operations(self.count + 1, (*self.last, digest(operation))[-OPERATIONS_REMEMBERED:])

    def may_have_forgotten(self, since: int) -> bool:
        """Whether an operation that was applied when `since` had been counted need not be among the last any more."""
        return self.count - since > OPERATIONS_REMEMBERED or self.count < since

    def to_spec(self) -> dict[str, Any]:
        """The stored form."""
        return {"operations": list(self.last), "operation_count": self.count}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Operations:
        """Read the stored form."""
        return cls(spec.get("operation_count", 0), tuple(spec.get("operations", ())))


def digest(operation: str) -> str:
    """What stands for an id where the whole of it takes too much room. Ids that begin alike have different ones."""
    return blake2b(operation.encode(), digest_size=_DIGEST_BYTES).hexdigest()


NO_OPERATIONS: Final = Operations()


class Shared(Protocol):
    """What the elector's loop needs of any of these records. They are values: each method gives a new one."""

    @property
    def operations(self) -> Operations:
        """What was applied."""

    def to_spec(self) -> dict[str, Any]:
        """The stored form."""

    def claimants(self) -> Iterable[Claimant]:
        """Everybody in it."""

    def leave(self, hold: Hold, at: At) -> Self:
        """Without this claimant, and with whatever follows from its going."""

    def advanced(self, at: At) -> Self:
        """With whatever is due without anybody's doing."""

    def forget(self, hold: Hold) -> Self:
        """Without this claimant, which has been told its outcome: nothing follows."""

    def confirm(self, claimant: Claimant, token: int | None, at: At) -> Self:
        """With this claimant as the elector that adopted its session writes it."""

    def written_over(self, version: int) -> Self:
        """As it has to be written over `version`."""

    def depends_on(self, session: str) -> dict[str, float]:
        """The sessions, with their leases, that whoever waits here under `session` has to observe."""

    def remembering(self, operation: str) -> Self:
        """With one more operation that was applied."""


def placed_behind(queue: Collection[Claimant], holding: Iterable[Claimant], session: str) -> dict[str, float]:
    """Whom to observe in a queue: the first two electors look at those who hold, the others at the first in the queue.

    So the number of looks does not grow with the square of the electors, and a dead one never stops the queue.
    """
    waiting = list(dict.fromkeys(claimant.hold.session for claimant in queue))
    if session in waiting[2:]:
        return foreign_sessions((claimant for claimant in queue if claimant.hold.session == waiting[0]), session)
    return foreign_sessions(holding, session)


def foreign_sessions(claimants: Iterable[Claimant], session: str) -> dict[str, float]:
    """Their sessions and leases, without our own, within the bound."""
    leases = {claimant.hold.session: claimant.lease_seconds for claimant in claimants}
    leases.pop(session, None)
    return dict(list(leases.items())[:OBSERVED_MAX])


def without(claimants: tuple[Claimant, ...], hold: Hold) -> tuple[Claimant, ...]:
    """All but the one of that hold."""
    return tuple(claimant for claimant in claimants if claimant.hold != hold)


def confirmed(claimants: tuple[Claimant, ...], adopted: Claimant) -> tuple[Claimant, ...]:
    """With the one of the same holder and session under its new epoch."""
    return tuple(
        replace(claimant, hold=adopted.hold) if is_same(claimant, adopted) else claimant for claimant in claimants
    )


def is_same(claimant: Claimant, other: Claimant) -> bool:
    """Whether both are one acquisition, be it under two epochs of its session."""
    return claimant.hold.holder == other.hold.holder and claimant.hold.session == other.hold.session
