"""The store in one SQLite file, shared by the electors of one machine.

Reads and writes of one record run in the event loop's own thread. Measured on two cores, a create and a delete take
44 µs there; through a thread of their own they take 220 µs, which the loop spends on hand-overs. So the loop's
connection never waits: if another process is writing, it is told "busy" at once, and the caller tries again a
millisecond later without blocking anybody. A write is thereby one synchronous step, and a caller that is cancelled
has either done it or not begun. What may take long is left to one thread with a connection of its own: lists, and the
checkpoints that copy the write-ahead log into the file and wait for the disk.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from elector_server.store import (
    Conflict,
    Exists,
    Listing,
    OutcomeUnknown,
    Record,
    Spec,
    StoreUnavailable,
)
from elector_server.store.sqlite_file import (
    connect,
    is_busy,
    newest_version,
    open_file,
    roll_back,
    transaction,
    unavailable,
)
from elector_server.store.sqlite_upkeep import WRITES_BETWEEN_UPKEEP, keep_up
from elector_server.store.sqlite_watching import LogReader
from elector_server.store.state_folder import StoreConfigurationError, prepare_state_folder
from elector_server.store.watching import ChangeWatch, Step, Topic

__all__ = ["SqliteStore", "StoreConfigurationError"]

# A process stopped by a signal inside its transaction keeps the file locked: others then say so after this time.
BUSY_SECONDS = 2.0

BUSY_RETRY_SECONDS = 0.001

_READ_ONE = "SELECT version, session, spec FROM record WHERE kind = ? AND name = ?"
# One statement, hence one moment; one row even if there is no such record.
_READ_ONE_AND_NEWEST = (
    "SELECT newest, record.version, session, spec FROM (SELECT max(version) AS newest FROM change) "
    "LEFT JOIN record ON kind = ? AND name = ?"
)
_READ_KIND = "SELECT kind, name, version, session, spec FROM record WHERE kind = ? ORDER BY name"
_READ_SESSION = "SELECT kind, name, version, session, spec FROM record WHERE kind = ? AND session = ? ORDER BY name"
_LOG = "INSERT INTO change (kind, name, session_before, session, spec) VALUES (?, ?, ?, ?, ?)"
_PUT = "INSERT OR REPLACE INTO record (kind, name, version, session, spec) VALUES (?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM record WHERE kind = ? AND name = ?"

_T = TypeVar("_T")

# Made once: `json.dumps` makes an encoder for each call that has options.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class _FileId(NamedTuple):
    device: int
    inode: int


class _Content(NamedTuple):
    """What a write puts into a record. `text` is the spec as it is stored."""

    session: str
    spec: Spec
    text: str

    @classmethod
    def of(cls, session: str, spec: Spec) -> _Content:
        return cls(session, spec, _encode(dict(spec)))


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
        self._path = path
        self._connection = open_file(path, boot_id, wall_microseconds)
        self._connection.execute("PRAGMA busy_timeout = 0")
        self._file_id = self._file_at_path()
        # Only the thread uses this one. It may wait, but not for long: a checkpoint that waits holds up writers.
        self._thread_connection = connect(path, busy_seconds=0.1)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-store")
        self._upkeep: Future[None] | None = None
        self._writes_since_upkeep = 0
        self._log = LogReader(self._connection)
        self._closed = False

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path}: {'closed' if self._closed else self._log}>"

    # --- the operations of a store ------------------------------------------------------------------------------

    async def get(self, kind: str, name: str) -> Record | None:
        """Read one record, in this thread."""
        row = await self._when_free("reading", lambda: self._row(kind, name))
        return None if row is None else Record(kind, name, row[0], row[1], json.loads(row[2]))

    async def list(self, kind: str, *, session: str | None = None, name: str | None = None) -> Listing:
        """Read one name in this thread, or many records in the other one."""
        if name is not None:
            return await self._when_free("reading", lambda: self._list_one(kind, name, session))
        self._require_open()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._list, kind, session)
        except sqlite3.Error as error:
            raise unavailable(error, "listing") from error

    async def create(self, kind: str, name: str, session: str, spec: Spec) -> Record:
        """Write a record that is not there. Waits up to `BUSY_SECONDS` for other processes."""
        content = _Content.of(session, spec)
        version = await self._when_free("creating", lambda: self._write(kind, name, None, content))
        return Record(kind, name, version, session, spec)

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Spec) -> Record:
        """Write over the record that has `version`, waiting as `create` does."""
        content = _Content.of(session, spec)
        written = await self._when_free("replacing", lambda: self._write(kind, name, version, content))
        return Record(kind, name, written, session, spec)

    async def delete(self, kind: str, name: str, version: int) -> None:
        """Remove the record that has `version`, waiting as `create` does."""
        await self._when_free("deleting", lambda: self._write(kind, name, version, None))

    def watch(self, kind: str, since: int, *, name: str | None = None, session: str | None = None) -> ChangeWatch:
        """Report changes since a version that the log still reaches back to."""
        topic = Topic.of_watch(kind, name, session)
        return ChangeWatch(topic, since, self._open_watch, self._log.close)

    async def close(self) -> None:
        """End all watches, wait for what the thread still does, and leave the file."""
        if self._closed:
            return
        self._closed = True
        self._log.end_all(StoreUnavailable("the store was closed"))
        try:
            # The last process to leave copies the log into the file, which waits for the disk.
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close_connections)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._thread.shutdown()

    # --- one record ---------------------------------------------------------------------------------------------

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

    def _row(self, kind: str, name: str) -> tuple[int, str, str] | None:
        row: tuple[int, str, str] | None = self._connection.execute(_READ_ONE, (kind, name)).fetchone()
        return row

    def _list_one(self, kind: str, name: str, session: str | None) -> Listing:
        newest, *row = self._connection.execute(_READ_ONE_AND_NEWEST, (kind, name)).fetchone()
        found = row[0] is not None and session in (None, row[1])
        return Listing((_record(kind, name, *row),) if found else (), newest)

    def _write(self, kind: str, name: str, expected: int | None, content: _Content | None) -> int:
        """One conditional write; without `content` it removes the record. Gives the version of the write."""
        self._require_same_file()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            before = self._checked(kind, name, expected)
            version = self._apply(kind, name, before, content)
            self._commit()
        except BaseException:
            roll_back(self._connection)
            raise
        record = None if content is None else Record(kind, name, version, content.session, content.spec)
        self._wrote(Step(kind, name, version, record, before))
        return version

    def _checked(self, kind: str, name: str, expected: int | None) -> str | None:
        """See that the record is as the writer expects, and give the session it hangs on."""
        row = self._row(kind, name)
        if expected is None:
            if row is not None:
                raise Exists(f"{kind} {name!r} is there")
            return None
        if row is None:
            raise Conflict(f"{kind} {name!r} is gone")
        if row[0] != expected:
            raise Conflict(f"{kind} {name!r} has version {row[0]}, not {expected}")
        return row[1]

    def _apply(self, kind: str, name: str, before: str | None, content: _Content | None) -> int:
        execute = self._connection.execute
        session, text = (None, None) if content is None else (content.session, content.text)
        # The row's number in the log is the version: one above the largest, since the newest row is never pruned.
        version = execute(_LOG, (kind, name, before, session, text)).lastrowid or 0
        if content is None:
            execute(_REMOVE, (kind, name))
        else:
            execute(_PUT, (kind, name, version, session, text))
        return version

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if is_busy(error):
                raise
            # The commit may be in the log already when SQLite reports an error, and recovery would bring it to life.
            raise OutcomeUnknown(str(unavailable(error, "committing"))) from error

    def _wrote(self, step: Step) -> None:
        """What follows a commit. Nothing here may fail: the write is done."""
        self._log.wrote(step)
        self._writes_since_upkeep += 1
        if self._writes_since_upkeep >= WRITES_BETWEEN_UPKEEP and (self._upkeep is None or self._upkeep.done()):
            self._writes_since_upkeep = 0
            self._upkeep = self._thread.submit(keep_up, self._thread_connection)

    def _open_watch(self, watch: ChangeWatch) -> None:
        if self._closed:
            watch.end(StoreUnavailable("the store was closed"))
        else:
            self._log.open(watch)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store was closed")

    def _require_same_file(self) -> None:
        # SQLite goes on writing to a file that was deleted, while the next elector makes a new one: two holders.
        if self._file_at_path() != self._file_id:
            raise StoreUnavailable(f"{self._path} was deleted or replaced: restart all electors that use it")

    def _file_at_path(self) -> _FileId | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return _FileId(status.st_dev, status.st_ino)

    # --- in the thread ------------------------------------------------------------------------------------------

    def _list(self, kind: str, session: str | None) -> Listing:
        connection = self._thread_connection
        # One transaction: records and version are of one moment.
        with transaction(connection, "BEGIN"):
            version = newest_version(connection)
            if session is None:
                rows = connection.execute(_READ_KIND, (kind,)).fetchall()
            else:
                rows = connection.execute(_READ_SESSION, (kind, session)).fetchall()
        return Listing(tuple(_record(*row) for row in rows), version)

    def _close_connections(self) -> None:
        self._connection.close()
        self._thread_connection.close()


def _record(kind: str, name: str, version: int, session: str, text: str) -> Record:
    return Record(kind, name, version, session, json.loads(text))
