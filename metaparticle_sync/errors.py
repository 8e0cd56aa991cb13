"""What can go wrong, as a small tree.

    SyncError
    ├── ElectorUnavailable    (ConnectionError)  no elector answers, or what answers is none; trying again may help
    ├── ElectorRefused                           an elector answers and says no for good: its `code` says why
    ├── LockLost              (RuntimeError)     a hold ended before its holder released it
    └── NotHeld               (RuntimeError)     release, or a look at the token, by a process that does not hold

The second base class is what code written for `threading` or for sockets already catches.
"""

from __future__ import annotations


class SyncError(Exception):
    """The root of every error that this package raises on its own account."""

    __module__ = "metaparticle_sync"


class ElectorUnavailable(SyncError, ConnectionError):
    """No elector answers at `address`, or what answers there is none. Nothing is known about the lock."""

    __module__ = "metaparticle_sync"

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class ElectorRefused(SyncError):
    """The elector understood and said no for good. `code` is the stable word of the protocol for the reason."""

    __module__ = "metaparticle_sync"

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class LockLost(SyncError, RuntimeError):
    """A hold ended before its holder released it: from then on somebody else may have been the owner.

    `kind` is `"lock"`, or `"semaphore"` for one permit of one.
    """

    __module__ = "metaparticle_sync"

    def __init__(self, name: str, token: int, reason: str, kind: str = "lock") -> None:
        super().__init__(name, token, reason, kind)
        self.name = name
        self.token = token
        self.reason = reason
        self.kind = kind

    def __str__(self) -> str:
        return f"lost the {self.kind} {self.name!r} (token {self.token}): {self.reason}"


class NotHeld(SyncError, RuntimeError):
    """This process does not hold the lock. `held_by` says who does, as far as the elector told."""

    __module__ = "metaparticle_sync"

    def __init__(self, message: str, *, held_by: str = "") -> None:
        super().__init__(message)
        self.held_by = held_by
