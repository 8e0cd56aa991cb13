"""What an object says for people only: counts for printer columns, and all of it in one sentence.

    kind         counts                     about
    lock         waiters                    held by report.py at pod-1 since 09:41; next is report.py at pod-2
    semaphore    value, held, waiters       0 of 2 free; held by report.py at pod-1, and 1 more; nobody waits
    event                                   set since 09:41; set 3 times in all
    condition    waiters, notified          next is report.py at pod-1, then 2 more; 1 is notified
    barrier      waiting                    2 of 3 have arrived; the first is report.py at pod-1
    session      (none, and no sentence)

They are written anew with each change, and dropped when an object is read: no rule depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from elector_server.store import Spec

ABOUT: Final = "about"

COUNTS: Final[Mapping[str, Sequence[str]]] = {
    "lock": ("waiters",),
    "semaphore": ("value", "held", "waiters"),
    "event": (),
    "condition": ("waiters", "notified"),
    "barrier": ("waiting",),
}
"""The kinds that say something for people, and which counts."""


def for_people(kind: str, spec: Spec) -> dict[str, Any]:
    """The fields to write beside the spec."""
    if kind not in COUNTS:
        return {}
    counts, sentence = _COLUMNS[kind](spec)
    return {ABOUT: sentence} | dict(zip(COUNTS[kind], counts, strict=True))


def without_those(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A spec as it was read, without them."""
    for field in (ABOUT, *COUNTS[kind]) if kind in COUNTS else ():
        spec.pop(field, None)
    return spec


_Columns = tuple[Sequence[int], str]


def _of_lock(spec: Spec) -> _Columns:
    queue = spec.get("queue", ())
    return (len(queue),), f"held by {_who(spec)}{_since(spec.get('acquired_at'))}; {_next_of(queue)}"


def _of_semaphore(spec: Spec) -> _Columns:
    permits, queue = spec.get("permits", ()), spec.get("queue", ())
    there_are = spec.get("limit", 0) + spec.get("extra", 0)
    free = there_are - len(permits)
    return (free, len(permits), len(queue)), f"{free} of {there_are} free; {_held(permits)}; {_next_of(queue)}"


def _held(permits: Sequence[Spec]) -> str:
    if not permits:
        return "nobody holds one"
    more = f", and {len(permits) - 1} more" if len(permits) > 1 else ""
    return f"held by {_who(permits[0])}{_since(permits[0].get('acquired_at'))}{more}"


def _of_event(spec: Spec) -> _Columns:
    times = spec.get("generation", 0)
    state = "set" if spec.get("is_set") else "not set"
    return (), f"{state}{_since(spec.get('changed_at'))}; set {times} time{'' if times == 1 else 's'} in all"


def _of_condition(spec: Spec) -> _Columns:
    tickets = spec.get("tickets", ())
    waiting = [ticket for ticket in tickets if not ticket.get("notified")]
    notified = len(tickets) - len(waiting)
    told = f"; {notified} {'is' if notified == 1 else 'are'} notified" if notified else ""
    return (len(waiting), notified), _next_of(waiting) + told


def _of_barrier(spec: Spec) -> _Columns:
    arrived, parties = spec.get("arrived", ()), spec.get("parties", 0)
    if spec.get("state") == "broken":
        return (0,), "broken: nobody passes before a reset"
    if spec.get("state") == "acting" and len(arrived) >= parties > 0:
        return (0,), f"all {parties} have arrived; {_who(arrived[parties - 1])} runs the action"
    first = f"; the first is {_who(arrived[0])}" if arrived else ""
    return (len(arrived),), f"{len(arrived)} of {parties} have arrived{first}"


_COLUMNS: Final[Mapping[str, Callable[[Spec], _Columns]]] = {
    "lock": _of_lock,
    "semaphore": _of_semaphore,
    "event": _of_event,
    "condition": _of_condition,
    "barrier": _of_barrier,
}


def _next_of(queue: Sequence[Spec]) -> str:
    if not queue:
        return "nobody waits"
    more = f", then {len(queue) - 1} more" if len(queue) > 1 else ""
    return f"next is {_who(queue[0])}{more}"


def _since(time: str | None) -> str:
    return f" since {time}" if time else ""


def _who(spec: Spec) -> str:
    owner, process = spec.get("owner", ""), spec.get("process", "")
    return f"{process} at {owner}" if process else str(owner)
