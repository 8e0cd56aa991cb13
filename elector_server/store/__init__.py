"""What the elector needs of a store: records with versions, conditional writes, and watches.

One contract test-suite (`tests/stores/`) holds for every implementation. Its terms:

* A **version** is the store's number for one write. Versions rise over all records of the store, over delete and
  create of one name, and over closing and reopening it.
* `create` fails if the record is there. `replace` and `delete` need the version that was read. Each of the three is
  one linearizable step.
* A read (`get`, `list`) may be stale. A watch may end at any time. Only a conditional write proves anything.
* A write that raises `OutcomeUnknown` may or may not have happened, or may still happen later.

A new backend is one file beside `memory.py`. It decides nothing; `elector_server.rules` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

Spec = Mapping[str, Any]


class StoreError(Exception):
    """The root of what a store raises.

    StoreError
    ├── Exists             create: a record of that name is there
    ├── Conflict           replace, delete: the record is gone or has another version
    ├── WatchExpired       the watch cannot say what happened since its version: read again
    └── StoreUnavailable   the store did not do it; nothing was written
        └── OutcomeUnknown     nobody can say whether it was written, or still will be
    """


class Exists(StoreError):
    """`create` found a record of that name."""


class Conflict(StoreError):
    """`replace` or `delete` found no record, or one of another version. Nothing was changed."""


class WatchExpired(StoreError):
    """The store no longer knows every change since the watch's version. Read, then watch from there."""


class StoreUnavailable(StoreError):
    """The store could not be reached or refused to work; the operation certainly had no effect.

    `code` names the cause for programs; each store says which it knows.
    """

    def __init__(self, message: str = "", code: str = "store_unavailable") -> None:
        super().__init__(message)
        self.code = code


class OutcomeUnknown(StoreUnavailable):
    """The operation was sent and not answered: it may have had its effect, or may have it later."""


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record. `session` is an index: the session that the record hangs on, or empty."""

    kind: str
    name: str
    version: int
    session: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Listing:
    """Records of one kind, sorted by name, and a version that they are at least as new as."""

    records: tuple[Record, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change that a watch reports. `record` is None when it was deleted, or left the watched session."""

    name: str
    version: int
    record: Record | None


class Watch(Protocol):
    """A row of changes. Leaving the context frees everything it used."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def next(self) -> Change:
        """Wait for the next change, in the order of versions.

        Cancelling this call loses no change: the next call returns it.

        Raises:
            WatchExpired: changes may have been missed.
            StoreUnavailable: the store cannot be watched now.
        """


class Store(Protocol):
    """The whole of what the elector asks of its backend. All methods are called from one event loop."""

    async def get(self, kind: str, name: str) -> Record | None:
        """Read one record; None if there is none. May be stale."""

    async def list(self, kind: str, *, session: str | None = None, name: str | None = None) -> Listing:
        """Read all records of one kind, those that hang on one session, or the one of a name. May be stale.

        Unlike `get` it tells the version that it is at least as new as, hence from where to watch.
        """

    async def create(self, kind: str, name: str, session: str, spec: Spec) -> Record:
        """Write a record that is not there.

        Raises:
            Exists: a record of that kind and name is there.
            StoreUnavailable, OutcomeUnknown: see there.
        """

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Spec) -> Record:
        """Write a new spec and session over the record that has `version`.

        Raises:
            Conflict: there is no such record, or it has another version.
            StoreUnavailable, OutcomeUnknown: see there.
        """

    async def delete(self, kind: str, name: str, version: int) -> None:
        """Remove the record that has `version`. The removal has a version of its own, larger than all before.

        Raises:
            Conflict: there is no such record, or it has another version.
            StoreUnavailable, OutcomeUnknown: see there.
        """

    def watch(self, kind: str, since: int, *, name: str | None = None, session: str | None = None) -> Watch:
        """Every change with a version above `since`, in order: of one name, of one session, or of the whole kind.

        With `session`, a record that moves to another session is reported as gone from this one.
        """

    async def close(self) -> None:
        """Free everything; open watches end with StoreUnavailable."""
