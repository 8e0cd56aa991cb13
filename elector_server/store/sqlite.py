"""The store in one SQLite file, shared by the electors of one machine.

The file is a log of changes; the records that it tells of are in memory (`sqlite_log`). So a read asks the file only
for what is new, and a write is one statement. Both run in the event loop's own thread: a hand-over to another one would
cost the loop more than they do. Measured on two cores, a create and a delete take 37 µs in a tight loop, and three
times that between requests, when the processor's caches have forgotten SQLite. The loop's connection never waits: if
another process is writing, it is told "busy" at once, and the caller tries again a millisecond later without blocking
anybody. A write is thereby one synchronous step, and a caller that is cancelled has either done it or not begun. What
may take long is left to one thread: long lists, and what `sqlite_upkeep` does through a connection of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from elector_server.store import Conflict, Exists, Listing, Record, Spec, StoreError, StoreUnavailable
from elector_server.store.sqlite_file import connect, is_busy, open_file, unavailable
from elector_server.store.sqlite_log import ChangeLog, Stored
from elector_server.store.sqlite_upkeep import WRITES_BETWEEN_UPKEEP, keep_up
from elector_server.store.sqlite_watching import LogReader
from elector_server.store.state_folder import StoreConfigurationError, prepare_state_folder
from elector_server.store.watching import ChangeWatch, Step, Topic

__all__ = ["SqliteStore", "StoreConfigurationError"]

# A process stopped by a signal inside its transaction keeps the file locked: others then say so after this time.
BUSY_SECONDS = 2.0

BUSY_RETRY_SECONDS = 0.001

# How long writes may go on into a file that was deleted.
FILE_LOOK_SECONDS = 0.05

_T = TypeVar("_T")

# Made once: `json.dumps` makes an encoder for each call that has options.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def _wall_microseconds() -> int:
    return time.time_ns() // 1_000


class SqliteStore:
    """Records in `path`, which is made if missing. One handle serves one event loop; each process opens its own.

    Args:
        path: the file; its folder is made if missing.
        boot_id: which boot of the machine this is. Versions jump ahead at the first opening after a boot.
        wall_microseconds: where versions start when the file is made.

    Raises:
        StoreConfigurationError: file or folder cannot be used.
        StoreUnavailable: another process kept the file locked.
    """

    def __init__(self, path: Path, *, boot_id: str, wall_microseconds: Callable[[], int] = _wall_microseconds) -> None:
        # Absolute, so that a process that changes its working folder does not take the file for deleted.
        path = path.absolute()
        prepare_state_folder(path.parent)
        self._path = str(path)
        self._connection, self._log = _open_log(path, boot_id, wall_microseconds)
        self._file = path.stat()
        self._file_looked_at = float("-inf")
        # Only the thread uses this one. It may wait, but not for long: a checkpoint that waits holds up writers.
        self._thread_connection = connect(path, busy_seconds=0.1)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-store")
        self._upkeep: Future[None] | None = None
        self._writes_since_upkeep = 0
        self._reader = LogReader(self._log)
        self._closed = False

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path}: {'closed' if self._closed else self._reader}>"

    # --- the operations of a store ------------------------------------------------------------------------------

    async def get(self, kind: str, name: str) -> Record | None:
        """Read one record, in this thread."""
        return await self._when_free("reading", lambda: self._get(kind, name))

    async def list(self, kind: str, *, session: str | None = None, name: str | None = None) -> Listing:
        """Read one name in this thread, or make many records in the other one."""
        if name is not None:
            return await self._when_free("reading", lambda: self._list_one(kind, name, session))
        found, version = await self._when_free("listing", lambda: self._list(kind))
        loop = asyncio.get_running_loop()
        return Listing(await loop.run_in_executor(self._thread, _records, kind, found, session), version)

    async def create(self, kind: str, name: str, session: str, spec: Spec) -> Record:
        """Write a record that is not there. Waits up to `BUSY_SECONDS` for other processes."""
        return await self._when_free("creating", lambda: self._put(kind, name, None, session, spec))

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Spec) -> Record:
        """Write over the record that has `version`, waiting as `create` does."""
        return await self._when_free("replacing", lambda: self._put(kind, name, version, session, spec))

    async def delete(self, kind: str, name: str, version: int) -> None:
        """Remove the record that has `version`, waiting as `create` does."""
        await self._when_free("deleting", lambda: self._remove(kind, name, version))

    def watch(self, kind: str, since: int, *, name: str | None = None, session: str | None = None) -> ChangeWatch:
        """Report changes since a version that the log still reaches back to."""
        topic = Topic.of_watch(kind, name, session)
        return ChangeWatch(topic, since, self._open_watch, self._reader.close)

    async def close(self) -> None:
        """End all watches, wait for what the thread still does, and leave the file."""
        if self._closed:
            return
        self._closed = True
        self._reader.end_all(StoreUnavailable("the store was closed"))
        try:
            # The last process to leave copies the log into the file, which waits for the disk.
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close_connections)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._thread.shutdown()

    # --- reading ------------------------------------------------------------------------------------------------

    async def _when_free(self, doing: str, step: Callable[[], _T]) -> _T:
        """Run a synchronous step; while another process is in the way, again and again."""
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            self._require_open()
            try:
                return step()
            except sqlite3.Error as error:
                if not is_busy(error) or time.monotonic() > give_up:
                    raise unavailable(error, doing) from error
            await asyncio.sleep(BUSY_RETRY_SECONDS)

    def _get(self, kind: str, name: str) -> Record | None:
        self._reader.catch_up()
        stored = self._log.find(kind, name)
        return None if stored is None else stored.record(kind, name)

    def _list_one(self, kind: str, name: str, session: str | None) -> Listing:
        record = self._get(kind, name)
        found = record is not None and session in (None, record.session)
        return Listing((record,) if record is not None and found else (), self._log.version)

    def _list(self, kind: str) -> tuple[Sequence[tuple[str, Stored]], int]:
        self._reader.catch_up()
        return self._log.all_of(kind), self._log.version

    # --- writing ------------------------------------------------------------------------------------------------

    def _put(self, kind: str, name: str, expected: int | None, session: str, spec: Spec) -> Record:
        before, version = self._write(kind, name, expected, (session, _encode(dict(spec))))
        record = Record(kind, name, version, session, spec)
        self._wrote(Step(kind, name, version, record, before))
        return record

    def _remove(self, kind: str, name: str, expected: int) -> None:
        before, version = self._write(kind, name, expected, None)
        self._wrote(Step(kind, name, version, None, before))

    def _write(
        self, kind: str, name: str, expected: int | None, after: tuple[str, str] | None
    ) -> tuple[str | None, int]:
        """Log one change of a record that has the `expected` version (None: that is not there).

        Gives the session before the change, and the version of the change.
        """
        self._require_same_file()
        # Each turn but the first takes in what others have written meanwhile.
        while True:
            before = self._log.find(kind, name)
            refusal = _refusal(kind, name, before, expected)
            if refusal is None:
                version = self._log.append(kind, name, before, after)
                if version is not None:
                    return None if before is None else before.session, version
            if not self._reader.catch_up():
                # Nothing is new, so the refusal is right. Without one, the log was not longer than this process knew.
                raise refusal or StoreUnavailable(f"{self._path} has lost changes: restart all electors that use it")

    def _wrote(self, step: Step) -> None:
        """What follows a commit. Nothing here may fail: the write is done."""
        self._reader.wrote(step)
        self._writes_since_upkeep += 1
        if self._writes_since_upkeep >= WRITES_BETWEEN_UPKEEP and (self._upkeep is None or self._upkeep.done()):
            self._writes_since_upkeep = 0
            self._upkeep = self._thread.submit(keep_up, self._thread_connection)

    def _open_watch(self, watch: ChangeWatch) -> None:
        if self._closed:
            watch.end(StoreUnavailable("the store was closed"))
        else:
            self._reader.open(watch)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store was closed")

    def _require_same_file(self) -> None:
        # SQLite goes on writing to a file that was deleted, while the next elector makes a new one: two holders.
        # What was granted before the deletion can be granted again at once in the new file, so this ends a mistake of
        # the operator soon, and cannot undo it; looking before each write would cost a tenth of it and add nothing.
        now = time.monotonic()
        if now - self._file_looked_at < FILE_LOOK_SECONDS:
            return
        self._file_looked_at = now
        try:
            same = os.path.samestat(os.stat(self._path), self._file)  # noqa: PTH116 - on the way of each write
        except OSError:
            same = False
        if not same:
            self._file_looked_at = float("-inf")
            raise StoreUnavailable(f"{self._path} was deleted or replaced: restart all electors that use it")

    def _close_connections(self) -> None:
        self._connection.close()
        self._thread_connection.close()


def _open_log(path: Path, boot_id: str, wall_microseconds: Callable[[], int]) -> tuple[sqlite3.Connection, ChangeLog]:
    connection = open_file(path, boot_id, wall_microseconds)
    try:
        log = ChangeLog(connection)
        connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error as error:
        connection.close()
        raise unavailable(error, "reading the file") from error
    return connection, log


def _refusal(kind: str, name: str, before: Stored | None, expected: int | None) -> StoreError | None:
    """Why a record is not as its writer expects; None if it is."""
    if expected is None:
        return None if before is None else Exists(f"{kind} {name!r} is there")
    if before is None:
        return Conflict(f"{kind} {name!r} is gone")
    if before.version != expected:
        return Conflict(f"{kind} {name!r} has version {before.version}, not {expected}")
    return None


def _records(kind: str, found: Sequence[tuple[str, Stored]], session: str | None) -> tuple[Record, ...]:
    """The records that hang on a session (None: on any), sorted by name."""
    wanted = sorted((name, stored) for name, stored in found if session in (None, stored.session))
    return tuple(stored.record(kind, name) for name, stored in wanted)
