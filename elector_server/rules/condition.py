"""The rules of a condition record: who waits, and who of them has been notified.

              enqueue                notify                    told
    (nobody) ─────────> waiting ──────────────> notified ───────────────> (nobody)
                           │                        │
                           └── leave: gone          └── leave: the notification goes to the oldest that waits

* A waiter enqueues its ticket *before* it releases the lock, and `notify` needs the lock: so no wake-up can be lost
  between the two.
* `notify` marks the oldest n tickets of electors that live. It writes even if nobody waits, for only a write proves
  that nobody does.
* A notified ticket stays until its elector has told its waiter. If its process or its session ends before, the
  notification is passed on. If they end after, but before the ticket is removed, another waiter wakes once too often:
  never once too seldom.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from elector_server.rules.claimant import Claimant, Hold, claimant_from_spec, claimant_to_spec
from elector_server.rules.shared import CLAIMANTS_MAX, NO_OPERATIONS, At, Operations, RecordFull, is_same, placed_behind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KIND: Final = "condition"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One waiter."""

    claimant: Claimant
    notified: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """What a condition record says."""

    tickets: tuple[Ticket, ...] = ()
    operations: Operations = NO_OPERATIONS
    _by_holder: dict[str, Ticket] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The tickets, filled when first asked for: all who wait ask with each change."""

    def to_spec(self) -> dict[str, Any]:
        """The stored form."""
        return {"tickets": [_ticket_to_spec(ticket) for ticket in self.tickets]} | self.operations.to_spec()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Condition:
        """Read the stored form."""
        return cls(
            tickets=tuple(
                Ticket(claimant_from_spec(ticket), ticket.get("notified", False)) for ticket in spec.get("tickets", ())
            ),
            operations=Operations.from_spec(spec),
        )

    def claimants(self) -> Iterable[Claimant]:
        """All who wait, notified or not."""
        return (ticket.claimant for ticket in self.tickets)

    def ticket_of(self, holder: str) -> Ticket | None:
        """The ticket of that waiter."""
        if not self._by_holder:
            self._by_holder.update((ticket.claimant.hold.holder, ticket) for ticket in self.tickets)
        return self._by_holder.get(holder)

    @property
    def waiters(self) -> int:
        """How many have not been notified."""
        return sum(not ticket.notified for ticket in self.tickets)

    def leave(self, hold: Hold, at: At) -> Condition:
        """Without its ticket; a notification that it has not been told is passed on."""
        was_notified = any(ticket.notified for ticket in self.tickets if ticket.claimant.hold == hold)
        left = self.forget(hold)
        return notify(left, at, 1)[0] if was_notified else left

    def advanced(self, at: At) -> Condition:  # noqa: ARG002 -- nothing is ever due
        """As it is."""
        return self

    def forget(self, hold: Hold) -> Condition:
        """Without its ticket: it has been told, or is told now."""
        return replace(self, tickets=tuple(ticket for ticket in self.tickets if ticket.claimant.hold != hold))

    def confirm(self, claimant: Claimant, token: int | None, at: At) -> Condition:  # noqa: ARG002 -- no tokens
        """Its ticket under the new epoch."""
        tickets = tuple(
            replace(ticket, claimant=claimant) if is_same(ticket.claimant, claimant) else ticket
            for ticket in self.tickets
        )
        return replace(self, tickets=tickets)

    def written_over(self, version: int) -> Condition:  # noqa: ARG002 -- no tokens
        """As it is."""
        return self

    def depends_on(self, session: str) -> dict[str, float]:
        """Those who were notified and may not live to be told, as far as it is this elector's task to look at them."""
        waiting = tuple(ticket.claimant for ticket in self.tickets if not ticket.notified)
        return placed_behind(waiting, (ticket.claimant for ticket in self.tickets if ticket.notified), session)

    def remembering(self, operation: str) -> Condition:
        """With one more operation that was applied."""
        return replace(self, operations=self.operations.plus(operation))


def _ticket_to_spec(ticket: Ticket) -> dict[str, Any]:
    spec = claimant_to_spec(ticket.claimant)
    return spec | {"notified": True} if ticket.notified else spec


def enqueue(condition: Condition | None, claimant: Claimant) -> Condition:
    """The record with a ticket at its end. Who has one keeps its place.

    Raises:
        RecordFull: there is no room for it.
    """
    condition = condition or Condition()
    if condition.ticket_of(claimant.hold.holder) is not None:
        return condition
    if len(condition.tickets) >= CLAIMANTS_MAX:
        raise RecordFull(f"{CLAIMANTS_MAX} wait already")
    return replace(condition, tickets=(*condition.tickets, Ticket(claimant)))


def notify(condition: Condition | None, at: At, waiters: int | None) -> tuple[Condition, int]:
    """Mark the oldest `waiters` tickets, None for all, and say how many there were."""
    condition = condition or Condition()
    left = len(condition.tickets) if waiters is None else waiters
    tickets: list[Ticket] = []
    notified = 0
    for ticket in condition.tickets:
        is_next = not ticket.notified and notified < left and not at.ended(ticket.claimant.hold.session)
        notified += is_next
        tickets.append(replace(ticket, notified=True) if is_next else ticket)
    return replace(condition, tickets=tuple(tickets)), notified
