"""Whose turn it is: what an elector does next about one lock, from what it knows and what its clients want.

A pure function of a `Sight`. The elector carries out the step, looks again, and asks again, until nothing is left to
do. Only conditional writes decide anything, so a step chosen on stale knowledge fails and is chosen again.

    what is known of the record          somebody here wants it      nobody does
    nothing                              CREATE                      REST (READ if a hold is presented or released)
    that it exists                       READ                        READ
    that there is none                   CREATE                      REST
    held under our session and epoch
      by the hold we told               REST (others wait here)     REST
      by a live waiter of ours          GRANT                       -
      by nobody alive, or given up      HAND_ON                     HAND_ON
    held under our session, newer epoch   LOSE                        LOSE
    held under our session, older epoch
      by a holder that came back        CONFIRM                     CONFIRM
      given up, or grace is over        HAND_ON                     HAND_ON
      else                              REST                        REST
    held under a session that ended     HAND_ON                     HAND_ON
    held under another live session
      our ticket names our first        REST                        -
      else                              ENQUEUE                     LEAVE (REST if there is no ticket)

The rules behind it: identity is the triple (holder, session, epoch); an adopter says "yours" of nothing that it did not
write itself; until the grace after an adoption is over it releases nothing that nobody has claimed. A newer epoch than
ours means that another process adopted our session: we have lost it.
"""

from __future__ import annotations

from collections.abc import Container
from enum import Enum, auto
from typing import NamedTuple

from elector_server.rules.claimant import Claimant, Hold, SessionEnded
from elector_server.rules.lock import Lock


class Known(Enum):
    """What this elector knows of a record."""

    NOTHING = auto()
    EXISTS = auto()
    FREE = auto()
    HELD = auto()


class Step(Enum):
    """What to do next."""

    CREATE = auto()
    READ = auto()
    GRANT = auto()
    CONFIRM = auto()
    HAND_ON = auto()
    ENQUEUE = auto()
    LEAVE = auto()
    LOSE = auto()
    REST = auto()


class Sight(NamedTuple):
    """One lock as one elector sees it. A tuple, because one is made for every step.

    Attributes:
        known: what is known of the record.
        lock: the record's content, if known to be held.
        session: this elector's session.
        epoch: this elector's epoch in it.
        told: the holder id that was told "yours", if any.
        first: the first local waiter, if any.
        first_queues: whether that one waits (a single try never gets a ticket).
        wanted: the holder ids of all live local waiters and presented holds.
        given_up: holder ids that were released or given up here, and may still stand in the record.
        asked: whether somebody presented or released a hold that only the record can confirm.
        in_grace: whether clients of the process before may still come back.
        ended: whether a session is known to have ended.
    """

    known: Known
    lock: Lock | None
    session: str
    epoch: int
    told: str | None
    first: Claimant | None
    first_queues: bool
    wanted: Container[str]
    given_up: Container[str]
    asked: bool
    in_grace: bool
    ended: SessionEnded


def next_step(sight: Sight) -> Step:
    """The row of the table above."""
    if sight.known is Known.EXISTS:
        return Step.READ
    if sight.known is Known.NOTHING and sight.asked:
        return Step.READ
    if sight.lock is None or sight.known is not Known.HELD:
        return Step.CREATE if sight.first is not None else Step.REST
    if sight.lock.hold.session == sight.session:
        return _ours(sight, sight.lock.hold)
    if sight.ended(sight.lock.hold.session):
        return Step.HAND_ON
    return _foreign(sight, sight.lock)


def _ours(sight: Sight, hold: Hold) -> Step:
    if hold.epoch > sight.epoch:
        return Step.LOSE
    if hold.holder in sight.given_up:
        return Step.HAND_ON
    if hold.epoch < sight.epoch:
        return _of_the_process_before(sight, hold)
    if hold.holder == sight.told:
        return Step.REST
    return Step.GRANT if hold.holder in sight.wanted else Step.HAND_ON


def _of_the_process_before(sight: Sight, hold: Hold) -> Step:
    if hold.holder in sight.wanted:
        return Step.CONFIRM
    return Step.REST if sight.in_grace else Step.HAND_ON


def _foreign(sight: Sight, lock: Lock) -> Step:
    tickets = [ticket for ticket in lock.queue if ticket.hold.session == sight.session]
    if sight.first is None or not sight.first_queues:
        return Step.LEAVE if tickets else Step.REST
    if [ticket.hold for ticket in tickets] == [sight.first.hold]:
        return Step.REST
    return Step.ENQUEUE
