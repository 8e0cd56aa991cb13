"""The table of `rules.turn`, row by row."""

from __future__ import annotations

import dataclasses

import pytest

from elector_server.rules import lock as lock_rules
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.turn import Known, Sight, Step, next_step


def claimant(holder: str, session: str, epoch: int = 2) -> Claimant:
    return Claimant(Hold(holder, session, epoch), "c", "o", "p", 20.0)


def held(holder: str, session: str, epoch: int = 2, queue: tuple[Claimant, ...] = ()):
    return dataclasses.replace(lock_rules.claim(claimant(holder, session, epoch), "T"), queue=queue)


FIRST = claimant("w", "us")
NOTHING = Sight(
    known=Known.NOTHING,
    lock=None,
    session="us",
    epoch=2,
    told=None,
    first=None,
    first_queues=False,
    wanted=(),
    given_up=(),
    asked=False,
    in_grace=False,
    ended=lambda session: session == "ended",
)
WAITS = {"first": FIRST, "first_queues": True, "wanted": ("w",)}


@pytest.mark.parametrize(
    ("name", "changes", "step"),
    [
        ("nothing known, nobody wants", {}, Step.REST),
        ("nothing known, wanted: one write, no read before it", WAITS, Step.CREATE),
        ("nothing known, a hold is presented", {"asked": True}, Step.READ),
        ("a hold is presented and another wanted", {"asked": True, **WAITS}, Step.READ),
        ("it exists", {"known": Known.EXISTS}, Step.READ),
        ("free, nobody wants", {"known": Known.FREE}, Step.REST),
        ("free, wanted", {"known": Known.FREE, **WAITS}, Step.CREATE),
        ("ours, as told", {"lock": held("h", "us"), "told": "h"}, Step.REST),
        ("ours, as told, others wait here", {"lock": held("h", "us"), "told": "h", **WAITS}, Step.REST),
        ("ours, for a live waiter", {"lock": held("w", "us"), **WAITS}, Step.GRANT),
        ("ours, for a dead name", {"lock": held("dead", "us")}, Step.HAND_ON),
        ("ours, for a dead name, others wait here", {"lock": held("dead", "us"), **WAITS}, Step.HAND_ON),
        ("of the process before, in grace", {"lock": held("h", "us", 1), "in_grace": True}, Step.REST),
        ("of the process before, in grace, wanted", {"lock": held("h", "us", 1), "in_grace": True, **WAITS}, Step.REST),
        ("of the process before, grace over", {"lock": held("h", "us", 1)}, Step.HAND_ON),
        ("of the process before, came back", {"lock": held("h", "us", 1), "wanted": ("h",)}, Step.CONFIRM),
        (
            "of the process before, released here",
            {"lock": held("h", "us", 1), "in_grace": True, "given_up": ("h",)},
            Step.HAND_ON,
        ),
        ("of a process after us", {"lock": held("h", "us", 3), **WAITS}, Step.LOSE),
        (
            "released while it was being confirmed",
            {"lock": held("h", "us"), "told": "h", "given_up": ("h",)},
            Step.HAND_ON,
        ),
        ("of an ended session", {"lock": held("h", "ended"), **WAITS}, Step.HAND_ON),
        ("of an ended session, nobody waits", {"lock": held("h", "ended")}, Step.HAND_ON),
        ("another's, nobody waits", {"lock": held("h", "them")}, Step.REST),
        ("another's, a single try", {"lock": held("h", "them"), **WAITS, "first_queues": False}, Step.REST),
        ("another's, no ticket yet", {"lock": held("h", "them"), **WAITS}, Step.ENQUEUE),
        ("another's, our ticket", {"lock": held("h", "them", queue=(FIRST,)), **WAITS}, Step.REST),
        (
            "another's, our ticket names somebody who left",
            {"lock": held("h", "them", queue=(claimant("left", "us"),)), **WAITS},
            Step.ENQUEUE,
        ),
        (
            "another's, our ticket is of the process before",
            {"lock": held("h", "them", queue=(claimant("w", "us", 1),)), **WAITS},
            Step.ENQUEUE,
        ),
        ("another's, our ticket, nobody waits", {"lock": held("h", "them", queue=(FIRST,))}, Step.LEAVE),
        (
            "the same holder id under another session is another hold",
            {"lock": held("w", "them"), **WAITS},
            Step.ENQUEUE,
        ),
    ],
)
def test_each_row(name, changes, step):
    known = {"known": Known.HELD} if "lock" in changes else {}
    assert next_step(NOTHING._replace(**known, **changes)) is step
