"""`threading`'s primitives for a whole cluster: the same classes, over a small server next to the application.

    from metaparticle_sync import Lock

    with Lock("orders"):
        ...                      # in one process of the cluster at a time

To read the package, begin at the top: `lock` and `election` are what users see, and `rlock`, `event`, `condition` and
the other primitives. `_named_lock` is what the locks have in common, `_acquiring` is one call of `acquire`, `_calling`
any other question, both with the patience of `_waiting`; `_ticket` is one wait at a condition.
`_holds` is what this process believes, and until when: the heart of it, without I/O.
`_keeper` is this process as a client of one elector, and `_listener` its one thread; `_farewells` and `_loss` are what
they leave behind and whom they tell. `_sidecar` has one method per endpoint, over `_connections`, `_stream` and
`_answers`. `wire` is the protocol, `errors` the tree of errors, `protocols` what annotations need. Nothing happens at
import, and little is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metaparticle_sync import wire

if TYPE_CHECKING:
    from threading import TIMEOUT_MAX, BrokenBarrierError

    from metaparticle_sync._candidate import current_leadership
    from metaparticle_sync._loss import set_loss_policy
    from metaparticle_sync._office import Leadership
    from metaparticle_sync.barrier import Barrier
    from metaparticle_sync.candidacy import LeaderOnly, leader_only
    from metaparticle_sync.condition import Condition
    from metaparticle_sync.election import Election
    from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable, LockLost, NotHeld, SyncError
    from metaparticle_sync.event import Event
    from metaparticle_sync.leader import Leader, LeaderChanges, leader_of
    from metaparticle_sync.lock import Lock
    from metaparticle_sync.protocols import BarrierLike, ConditionLike, EventLike, LockLike, SemaphoreLike
    from metaparticle_sync.rlock import RLock
    from metaparticle_sync.semaphore import BoundedSemaphore, Semaphore

__version__ = wire.VERSION

__all__ = [
    "TIMEOUT_MAX",
    "Barrier",
    "BarrierLike",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "ConditionLike",
    "Election",
    "ElectorRefused",
    "ElectorUnavailable",
    "Event",
    "EventLike",
    "Leader",
    "LeaderChanges",
    "LeaderOnly",
    "Leadership",
    "Lock",
    "LockLike",
    "LockLost",
    "NotHeld",
    "RLock",
    "Semaphore",
    "SemaphoreLike",
    "SyncError",
    "__version__",
    "current_leadership",
    "leader_of",
    "leader_only",
    "set_loss_policy",
]

_HOMES = {
    "Barrier": "barrier",
    "BarrierLike": "protocols",
    "BoundedSemaphore": "semaphore",
    "BrokenBarrierError": "barrier",
    "Condition": "condition",
    "ConditionLike": "protocols",
    "Election": "election",
    "ElectorRefused": "errors",
    "ElectorUnavailable": "errors",
    "Event": "event",
    "EventLike": "protocols",
    "Leader": "leader",
    "LeaderChanges": "leader",
    "LeaderOnly": "candidacy",
    "Leadership": "_office",
    "Lock": "lock",
    "LockLike": "protocols",
    "LockLost": "errors",
    "NotHeld": "errors",
    "RLock": "rlock",
    "Semaphore": "semaphore",
    "SemaphoreLike": "protocols",
    "SyncError": "errors",
    "TIMEOUT_MAX": "_waiting",
    "current_leadership": "_candidate",
    "leader_of": "leader",
    "leader_only": "candidacy",
    "set_loss_policy": "_loss",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for the first time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 -- part of the laziness

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
