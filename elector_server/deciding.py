"""What an elector writes next to a shared record: one decision for everything that is wanted of it at that moment.

A pure function of the record, of where and when, and of the wishes:

    ended           the claimants of dead electors leave, and who waits for their place, or for one that a person made,
                    gets it; written for that alone if somebody here waits, or has it tidied
    requests        each changes the record, or is refused, or turns out to be in it already
    leaving         claimants that gave up, and those of our session that stand for nobody, leave
    told            claimants that are through go along with any write

Nothing is answered before the write has succeeded, except what needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from elector_server.rules.shared import At, Refusal, Shared

if TYPE_CHECKING:
    from elector_server.rules.claimant import Claimant

R = TypeVar("R", bound=Shared)

Change = Callable[[R | None, At], tuple[R, Any]]


class OutcomeForgotten(Refusal):
    """An answer was lost, and so many operations came after it that nobody can know whether this one was done."""


class AdoptedElsewhere(Exception):
    """A claimant of our session has a newer epoch than ours: another process goes on with our session."""


@dataclass(slots=True, eq=False)
class Request(Generic[R]):
    """One operation that is wanted.

    Attributes:
        id: names it in the record, so that it happens once.
        change: what it does; raises `Refusal`.
        again: the answer, should the record show that it was done by somebody before us.
        number: requests are numbered in the order in which they came.
        is_remembered: whether the record remembers it; else it may be repeated.
        repeated_after: how many operations the record counted before its caller asked another process for the same,
            which did not answer; None if nobody else was asked.
        sent: the answer that holds if the write that was sent last has had its effect.
        sent_over: how many operations the record counted before that write; None if it certainly had no effect.
        is_concluded: whether `sent` is its answer for good.
        on_forgotten: called when it turns out that nobody can know whether it was done.
        sent_with: the last operation in that write. A write has its effect as a whole, and a later one that carries
            more ends with another operation: so where this one is remembered, all that were sent with it were done.
    """

    id: str
    change: Change[R]
    again: Callable[[R], Any]
    number: int
    is_remembered: bool = True
    repeated_after: int | None = None
    sent: Any = None
    sent_over: int | None = None
    sent_with: str = ""
    is_concluded: bool = False
    on_forgotten: Callable[[], None] = lambda: None

    def conclude(self, answer: Any) -> Any:
        """It was done before, or nobody can know. What becomes of later writes, of other requests, says nothing of it.

        This is its answer, then.
        """
        self.sent, self.is_concluded = answer, True
        return answer

    def is_done_in(self, record: Shared) -> bool:
        """Whether the record remembers it, or the last one of those that were sent with it."""
        was_sent = self.sent_over is not None
        return (self.is_remembered and self.id in record.operations) or (
            was_sent and self.sent_with in record.operations
        )


@dataclass(frozen=True, slots=True)
class Wishes(Generic[R]):
    """What is wanted of a record.

    Attributes:
        requests: in the order in which they came.
        leaving: holder ids that gave up.
        here: holder ids that live here, or are about to come.
        told: holder ids that know their outcome.
        session: our session.
        epoch: our epoch in it.
        in_grace: whether clients of the process before may still come back.
        is_awaited: whether somebody here waits for the record to change.
        tidy: whether it is to be tidied, even if nothing else is written.
    """

    requests: Iterable[Request[R]]
    leaving: Container[str]
    here: Container[str]
    told: Container[str]
    session: str
    epoch: int
    in_grace: bool
    is_awaited: bool
    tidy: bool


@dataclass(slots=True)
class Decision(Generic[R]):
    """The record as it should be, whether it has to be written for that, and what is answered then."""

    record: R | None
    changed: bool = False
    answers: list[tuple[Request[R], Any]] = field(default_factory=list)
    last: str = ""
    """The last operation that it applies."""

    def note_sending(self, before: R | None) -> None:
        """It is about to be written over what was `before`."""
        count = 0 if before is None else before.operations.count
        for request, answer in self.answers:
            if not request.is_concluded:
                request.sent, request.sent_over, request.sent_with = answer, count, self.last

    def note_refused(self) -> None:
        """That certainly had no effect."""
        for request, _ in self.answers:
            if not request.is_concluded:
                request.sent = request.sent_over = None


def decide(before: R | None, at: At, wishes: Wishes[R]) -> Decision[R]:
    """Decide on everything that is wanted.

    Raises:
        AdoptedElsewhere: the record shows that our session is not ours any more.
    """
    living = None if before is None else _without_ended(before, at)
    decision = Decision(living, changed=living != before and (wishes.is_awaited or wishes.tidy))
    for request in wishes.requests:
        _apply(request, before, at, decision)
    if decision.record is not None:
        decision.record, has_left = _without_strays(decision.record, at, wishes)
        decision.changed = decision.changed or has_left
    if decision.record is not None and (decision.changed or wishes.tidy):
        forgotten = _without_told(decision.record, wishes.told)
        decision.record, decision.changed = forgotten, decision.changed or forgotten != decision.record
    return decision


def _apply(request: Request[R], before: R | None, at: At, decision: Decision[R]) -> None:
    record = decision.record
    if request.is_concluded:
        answer = request.sent
    elif record is not None and before is not None and request.is_done_in(before):
        answer = request.conclude(request.again(record) if request.sent_over is None else request.sent)
    elif before is not None and _may_be_forgotten(request, before):
        request.on_forgotten()
        answer = request.conclude(OutcomeForgotten("nobody can know whether it was done: too much has changed since"))
    else:
        try:
            changed, answer = request.change(record, at)
        except Refusal as refusal:
            answer = refusal
        else:
            decision.record = changed.remembering(request.id) if request.is_remembered else changed
            decision.last = request.id if request.is_remembered else decision.last
            decision.changed = decision.changed or decision.record != record
    decision.answers.append((request, answer))


def _may_be_forgotten(request: Request[R], record: R) -> bool:
    since = request.repeated_after if request.sent_over is None else request.sent_over
    return request.is_remembered and since is not None and record.operations.may_have_forgotten(since)


def _without_strays(record: R, at: At, wishes: Wishes[R]) -> tuple[R, bool]:
    has_left = False
    for claimant in list(record.claimants()):
        if claimant.hold.session == wishes.session and _is_stray(claimant, wishes):
            record, has_left = record.leave(claimant.hold, at), True
    return record, has_left


def _is_stray(claimant: Claimant, wishes: Wishes[Any]) -> bool:
    """Whether a claimant of our session gave up, or stands for nobody: a late write, or a client that is gone."""
    holder = claimant.hold.holder
    if claimant.hold.epoch > wishes.epoch:
        raise AdoptedElsewhere
    if holder in wishes.leaving:
        return True
    if holder in wishes.here or holder in wishes.told:
        return False
    return claimant.hold.epoch == wishes.epoch or not wishes.in_grace


def _without_ended(record: R, at: At) -> R:
    for claimant in list(record.claimants()):
        if at.ended(claimant.hold.session):
            record = record.leave(claimant.hold, at)
    return record.advanced(at)


def _without_told(record: R, told: Container[str]) -> R:
    for claimant in list(record.claimants()):
        if claimant.hold.holder in told:
            record = record.forget(claimant.hold)
    return record
