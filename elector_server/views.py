"""What the elector shows: plain values, from which `resources` renders JSON."""

from __future__ import annotations

from dataclasses import dataclass

from elector_server.clients import Loss
from elector_server.rules.lock import Lock, token_of
from elector_server.trouble import Cause


@dataclass(frozen=True, slots=True)
class LockView:
    """One held lock as the store shows it. `local_waiters` wait behind this elector's ticket."""

    name: str
    version: int
    lock: Lock
    local_waiters: int

    @property
    def token(self) -> int:
        """The hold's fencing token."""
        return token_of(self.lock, self.version)

    @property
    def waiters(self) -> int:
        """Those known here: the electors that queue, or the local waiters if they are more."""
        return max(len(self.lock.queue), self.local_waiters)


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """What a client learns from opening its session and from each heartbeat."""

    client: str
    incarnation: str
    not_ready: Cause | None
    valid_seconds: float
    ttl_seconds: float
    tick_seconds: float
    holds: tuple[str, ...]
    lost: tuple[Loss, ...]
