"""What this process holds, and until when it may believe so. No I/O, no thread: time is an argument.

    waiting ── granted ──> admitted ── delivered ──> believed ── released
                               │                        │
                               └────────────────────────┴── reported lost, or its term's deadline passed ──> lost

A `Term` is one incarnation of the elector's session together with the one deadline that all answers under it extend.
A hold belongs to the term under which it was granted or confirmed last. When the elector answers under another
incarnation, a new term begins; holds stay with the old one, whose deadline no longer moves, until they are confirmed.
A term whose deadline passed is never extended again, so a lost hold can not come back to life.

What belongs to a name is a `Shared`: of a lock one hold at a time, of a semaphore one for each permit.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

from metaparticle_sync import wire
from metaparticle_sync._answers import Granted, Lost
from metaparticle_sync._clock import now
from metaparticle_sync.errors import LockLost

OnLoss = Callable[[LockLost], object]

_thread_numbers = itertools.count(1)
_thread_local = threading.local()


def this_thread() -> int:
    """A number of this thread that no later one gets, as happens to `get_ident`: a loss waits for its own thread."""
    try:
        number: int = _thread_local.number
    except AttributeError:
        number = _thread_local.number = next(_thread_numbers)
    return number


class Term:
    """One incarnation of the elector's session, and until when it is certain."""

    __slots__ = ("deadline", "incarnation")

    def __init__(self, incarnation: str, deadline: float) -> None:
        self.incarnation = incarnation
        self.deadline = deadline


class Hold:
    """One acquisition that succeeded. `lost` says why it is no more; `on_loss` tells whoever believed in it."""

    __slots__ = (
        "client",
        "holder",
        "is_delivered",
        "left",
        "lost",
        "on_loss",
        "process",
        "recursion",
        "shared",
        "term",
        "thread",
        "thread_ident",
        "token",
    )

    def __init__(self, shared: Shared, client: str, granted: Granted, term: Term, on_loss: OnLoss) -> None:
        self.shared = shared
        self.client = client
        self.holder = granted.holder
        self.token = granted.token
        self.left = granted.left
        self.term = term
        self.on_loss = on_loss
        self.thread = this_thread()
        self.thread_ident = threading.get_ident()
        self.process = os.getpid()
        self.recursion = 0
        """How often an `RLock` of the thread above has acquired it; 0 if it was none."""
        self.is_delivered = False
        self.lost: str | None = None

    def is_valid(self, at: float) -> bool:
        """Whether it is certain at that moment."""
        return self.lost is None and at < self.term.deadline

    def loss(self) -> LockLost:
        """The error that says that it was lost."""
        reason = self.lost or "its time ran out without word from the elector"
        return LockLost(self.shared.name, self.token, reason, self.shared.kind)


class Shared:
    """One name in this process: every object of that kind, name and elector stands for the same one of these."""

    __slots__ = ("__weakref__", "name", "path")

    kind: ClassVar[str]
    """As in the protocol."""

    collection: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = wire.path_of(self.collection, name)

    def believe(self, hold: Hold) -> Hold | None:
        """From now on this is held; returns the hold that can not be valid any more because of it, if any."""
        raise NotImplementedError

    def forget(self, hold: Hold) -> bool:
        """It is not held any more; False if nobody believed in it."""
        raise NotImplementedError

    def believes_in(self, hold: Hold) -> bool:
        """Whether it is held, as far as is known."""
        raise NotImplementedError

    def lose(self, hold: Hold) -> None:
        """It is lost; whoever believed in it has to be told at its release."""
        raise NotImplementedError

    def forget_all(self) -> None:
        """Begin anew, as after a fork."""

    def close(self) -> None:
        """The process is about to end, and gives everything back at once."""


Kind = TypeVar("Kind", bound=Shared)


class SharedLock(Shared):
    """A lock."""

    __slots__ = ("hold", "lost")

    kind = "lock"
    collection = wire.LOCKS_PATH

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.hold: Hold | None = None
        self.lost: Hold | None = None
        """The last hold that was lost and whose holder has not tried to release it yet."""

    def believe(self, hold: Hold) -> Hold | None:
        before, self.hold = self.hold, hold
        if self.lost is not None and self.lost.thread == hold.thread:
            self.lost = None  # Whoever acquires again has seen that it was gone.
        return before

    def believes_in(self, hold: Hold) -> bool:
        return self.hold is hold

    def forget(self, hold: Hold) -> bool:
        if self.hold is not hold:
            return False
        self.hold = None
        return True

    def lose(self, hold: Hold) -> None:
        if self.forget(hold):
            self.lost = hold

    def forget_all(self) -> None:
        self.hold = self.lost = None

    def valid_hold(self) -> Hold | None:
        """The hold of this process, if it is certain now."""
        hold = self.hold
        return hold if hold is not None and hold.is_valid(now()) else None

    def take_loss(self) -> Hold | None:
        """A loss that this thread, or nobody in particular, has to be told of at its release."""
        lost = self.lost
        if lost is not None and (self.hold is None or lost.thread == this_thread()):
            self.lost = None
            return lost
        return None


class Holds:
    """All holds of one process under one elector."""

    def __init__(self) -> None:
        self._shared: weakref.WeakValueDictionary[tuple[str, str], Shared] = weakref.WeakValueDictionary()
        self.forget_all()

    def forget_all(self) -> None:
        """Begin anew, as after a fork: nothing is held, and nobody is told."""
        self._mutex = threading.RLock()  # A signal handler may come in the midst of it, in the same thread.
        self.term = Term("", -math.inf)
        self._holds: dict[str, Hold] = {}
        self._leaving: dict[str, Hold] = {}
        """Nobody believes in these any more, but they are presented until the elector has confirmed their return."""
        self._expected: dict[str, bool] = {}
        """Holder ids of acquisitions under way, and whether they were lost or given up before they were granted."""
        for shared in list(self._shared.values()):
            shared.forget_all()

    def close(self) -> None:
        """Believe nothing any more, because the process is about to end."""
        for shared in list(self._shared.values()):
            shared.close()
        self.forget_all()

    def __len__(self) -> int:
        return len(self._holds)

    def shared(self, name: str) -> SharedLock:
        """The one lock of that name."""
        return self.shared_of(SharedLock, name)

    def shared_of(self, make: type[Kind], name: str, *terms: Any) -> Kind:
        """The one primitive of that kind and name. If there is none yet, it is made with these terms."""
        with self._mutex:
            shared = self._shared.get((make.kind, name))
            if not isinstance(shared, make):
                shared = self._shared[make.kind, name] = make(name, *terms)
            return shared

    def expect(self, holder: str) -> None:
        """An acquisition with this holder id begins."""
        self._expected[holder] = False

    def expect_no_more(self, holder: str) -> None:
        """It is over."""
        self._expected.pop(holder, None)

    def admit(self, shared: Shared, client: str, granted: Granted, on_loss: OnLoss, at: float) -> Hold:
        """Take in a grant. Nobody believes in it before it is delivered."""
        with self._mutex:
            if granted.incarnation == self.term.incarnation:
                self.extend(granted.incarnation, granted.valid_until, at)
                term = self.term
            else:
                term = Term(granted.incarnation, granted.valid_until)
            hold = Hold(shared, client, granted, term, on_loss)
            if self._expected.get(granted.holder):
                hold.lost = "it was lost before it was known to be granted"
            else:
                self._holds[granted.holder] = hold
            return hold

    def is_certain(self, hold: Hold, at: float) -> bool:
        """Whether a hold is valid, under the term that goes on."""
        return hold.term is self.term and hold.is_valid(at)

    def deliver(self, hold: Hold, at: float) -> bool:
        """From now on somebody believes in this hold; False if it is not valid (any more), and forgotten."""
        with self._mutex:
            if not hold.is_valid(at):
                self._holds.pop(hold.holder, None)
                return False
            hold.is_delivered = True
            before = hold.shared.believe(hold)
        if before is not None:
            self.lose(before, "the lock was granted anew meanwhile")
        return True

    def discard(self, holder: str) -> None:
        """An acquisition was given up: whatever it got or still gets, nobody believes in it, and nobody is told."""
        with self._mutex:
            if holder in self._expected:
                self._expected[holder] = True
            hold = self._holds.pop(holder, None)
            if hold is not None:
                hold.lost = "it was given up"
                hold.shared.forget(hold)

    def drop(self, shared: SharedLock, at: float, only: Hold | None = None) -> Hold | None:
        """Stop believing in the hold of that lock, to release it. None if there is none that is valid.

        With `only`, another hold than that one is none: it came after a loss, and is somebody else's.
        """
        with self._mutex:
            hold = shared.hold
            if only is not None and hold is not only:
                return None
            if hold is not None and hold.is_valid(at):
                self._holds.pop(hold.holder, None)
                shared.forget(hold)
                return hold
        if hold is not None:
            self.lose(hold, hold.loss().reason)
        return None

    def part_with(self, choose: Callable[[], list[Hold]]) -> list[Hold]:
        """Stop believing in the holds that `choose` names, and return them; `parted` ends it, or `take_back`."""
        with self._mutex:
            chosen = choose()
            for hold in chosen:
                self._holds.pop(hold.holder, None)
                self._leaving[hold.holder] = hold
                hold.shared.forget(hold)
            return chosen

    def parted(self, holds: Iterable[Hold]) -> None:
        """The elector has them back."""
        with self._mutex:
            for hold in holds:
                self._leaving.pop(hold.holder, None)

    def take_back(self, holds: Iterable[Hold]) -> None:
        """They were not given back after all: whoever believed in them goes on, or is told that they are lost."""
        for hold in holds:
            with self._mutex:
                self._leaving.pop(hold.holder, None)
                reason, hold.lost = hold.lost, None
                self._holds[hold.holder] = hold
                hold.shared.believe(hold)
            if reason is not None:
                self.lose(hold, reason)

    def extend(self, incarnation: str, valid_until: float, at: float) -> None:
        """An answer of the elector came: it is certain until then."""
        with self._mutex:
            if incarnation == self.term.incarnation and at < self.term.deadline:
                self.term.deadline = max(self.term.deadline, valid_until)
            else:
                self.term = Term(incarnation, valid_until)

    def confirm(self, holders: Iterable[str]) -> None:
        """The elector confirmed these holds under the current term."""
        with self._mutex:
            for holder in holders:
                hold = self._holds.get(holder) or self._leaving.get(holder)
                if hold is not None and hold.term.deadline < self.term.deadline:
                    hold.term = self.term

    def unconfirmed_first(self) -> list[Hold]:
        """All holds; first those that have not been confirmed under the current term."""
        with self._mutex:
            holds = [*self._holds.values(), *self._leaving.values()]
        return sorted(holds, key=lambda hold: hold.term is self.term)

    def has_unconfirmed(self) -> bool:
        """Whether there is a hold that the elector of now has not confirmed."""
        with self._mutex:
            return any(hold.term is not self.term for hold in self._holds.values())

    def next_deadline(self) -> float:
        """When the next hold is lost, if nothing is heard until then."""
        with self._mutex:
            return min((hold.term.deadline for hold in self._holds.values()), default=math.inf)

    def lose_reported(self, reports: Iterable[Lost]) -> None:
        """The elector says that these are no more."""
        for report in reports:
            if report.is_returned:
                self.forget(report.holder)
            else:
                self._lose_reported(report.holder, report.reason or "the elector says so")

    def _lose_reported(self, holder: str, reason: str) -> None:
        with self._mutex:
            hold = self._holds.get(holder)
            if holder in self._expected:
                self._expected[holder] = True
            leaving = self._leaving.get(holder)
            if leaving is not None:
                leaving.lost = reason
        if hold is not None:
            self.lose(hold, reason)

    def forget(self, holder: str) -> None:
        """Somebody else gave it back in our place, as any release of a semaphore may: nothing was lost."""
        with self._mutex:
            hold = self._holds.pop(holder, None)
            if hold is not None:
                hold.shared.forget(hold)

    def expire(self, at: float) -> list[Hold]:
        """Lose every hold whose deadline passed."""
        with self._mutex:
            expired = [hold for hold in self._holds.values() if hold.term.deadline <= at]
        for hold in expired:
            self.lose(hold, hold.loss().reason)
        return expired

    def lose(self, hold: Hold, reason: str) -> None:
        """This hold is lost; whoever believed in it is told, once."""
        with self._mutex:
            if self._holds.pop(hold.holder, None) is None or hold.lost is not None:
                return
            hold.lost = reason
            hold.shared.lose(hold)
        if hold.is_delivered:
            hold.on_loss(hold.loss())
