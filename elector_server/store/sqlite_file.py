"""The SQLite file: its schema, how it is opened and checked, and what SQLite's errors mean to a caller.

Its tables:

change   one row per write, newest last; `session` and `spec` are NULL where it removed the record. There is no other
         table of records: `sqlite_log` makes them from the changes. Rows that were superseded long ago are pruned. The
         newest row never is. It is the counter of versions as well: the next is its number + 1
meta     the boot at which the file was last opened; and the horizon: no row above it was ever pruned
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from elector_server.store import StoreUnavailable
from elector_server.store.state_folder import SETTING, StoreConfigurationError

APPLICATION_ID = 0x4D505359  # "MPSY"
SCHEMA_VERSION = 1
PAGE_BYTES = 2048

# More commits than a power cut can take back with synchronous=NORMAL.
BOOT_JUMP = 2**20

# Two processes that open a new file together wait for each other for milliseconds.
OPENING_SECONDS = 5.0

_SCHEMA = (
    """CREATE TABLE change (
        version INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,
        version_before INTEGER, session_before TEXT, session TEXT, spec TEXT)""",
    "CREATE TABLE meta (boot_id TEXT NOT NULL, horizon INTEGER NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

# A row that only carries a version. No record has an empty kind, so no watch sees it.
_MARK = "INSERT INTO change (version, kind, name) VALUES (?, '', '')"


def open_file(path: Path, boot_id: str, wall_microseconds: Callable[[], int]) -> sqlite3.Connection:
    """Open the file, or make it, and give the first connection to it.

    Raises:
        StoreConfigurationError: it is not ours, not readable, or of another schema.
        StoreUnavailable: another process kept it locked.
    """
    deadline = time.monotonic() + OPENING_SECONDS
    while True:
        try:
            return _opened(path, boot_id, wall_microseconds)
        except sqlite3.Error as error:
            # SQLite's own waiting does not cover the switch to WAL, so the whole opening is tried again.
            if not is_busy(error):
                raise _refusal(path, error) from error
            if time.monotonic() > deadline:
                raise unavailable(error, "opening the file") from error
        time.sleep(0.005)


def connect(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """A connection that waits for others' locks as long as told, and checkpoints only when told to."""
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        # Counts when the file is made. Small pages, because each write puts a whole one into the log.
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def newest_version(connection: sqlite3.Connection) -> int:
    """The version of the last write of anybody."""
    return int(connection.execute("SELECT max(version) FROM change").fetchone()[0])


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Commit at the end, roll back on any exception."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """Leave the transaction, if SQLite did not do so itself because of an error."""
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection stood in the way: nothing was written, and trying again helps."""
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_certain(error: sqlite3.Error) -> bool:
    """Whether a statement that commits by itself, and raised this, has certainly written nothing."""
    return _primary_code(error) in _BEFORE_ANY_COMMIT


# The first comes of the Python module itself. "Full" says that a page could not be written whole to the write-ahead
# log, and a commit counts only when its last one is. Anything else may come when the pages are there already.
_BEFORE_ANY_COMMIT = frozenset(
    {
        0,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_TOOBIG,
    }
)


def unavailable(error: sqlite3.Error, doing: str) -> StoreUnavailable:
    """What an error means that came before any commit: the operation had no effect."""
    return StoreUnavailable(f"{doing}: {_MEANING.get(_primary_code(error), 'SQLite refused')} ({error})")


_MEANING = {
    sqlite3.SQLITE_BUSY: "another process keeps the file locked",
    sqlite3.SQLITE_LOCKED: "another process keeps the file locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; stop all electors on it and move it away, or restore a backup",
    sqlite3.SQLITE_NOTADB: "the file was overwritten by something that is not a database",
    sqlite3.SQLITE_READONLY: "the file is not writable",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
}


def _primary_code(error: sqlite3.Error) -> int:
    # Extended codes carry the primary one in their low byte. Errors of the Python module itself have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _refusal(path: Path, error: sqlite3.Error) -> StoreConfigurationError:
    if _primary_code(error) == sqlite3.SQLITE_NOTADB:
        return _not_ours(path, "is not a SQLite database")
    problem = f"{path.name} in it cannot be used: {_MEANING.get(_primary_code(error), 'SQLite refused')} ({error})"
    return StoreConfigurationError(SETTING, path.parent, problem, "give this user a file that it can read and write")


def _not_ours(path: Path, problem: str) -> StoreConfigurationError:
    remedy = "name another folder, or move that file away"
    return StoreConfigurationError(SETTING, path.parent, f"{path.name} in it {problem}", remedy)


def _opened(path: Path, boot_id: str, wall_microseconds: Callable[[], int]) -> sqlite3.Connection:
    _make_private(path)
    connection = connect(path, busy_seconds=1.0)
    try:
        _check_ours(connection, path)
        _switch_to_wal(connection, path)
        # This writes something at each opening, or at least locks: a file that is read-only is found out here.
        with transaction(connection, "BEGIN IMMEDIATE"):
            if not _is_made(connection):
                _make(connection, boot_id, wall_microseconds())
            _note_boot(connection, boot_id)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    """Holder ids are the right to release: nobody else may read them. SQLite gives its side files the same mode."""
    # Only a file that was not there is touched. Closing any descriptor of a file drops all of the process's POSIX
    # locks on it, and a second handle in this process may hold some.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    # One moment for the three: another process may be making the file just now.
    with transaction(connection, "BEGIN"):
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = _pragma(connection, "application_id")
        schema = _pragma(connection, "user_version")
    if application != APPLICATION_ID and (application or schema or tables):
        raise _not_ours(path, "is a SQLite database of another program")
    if schema > SCHEMA_VERSION:
        problem = f"has schema {schema} of a newer release; this one knows schemas up to {SCHEMA_VERSION}"
        raise StoreConfigurationError(
            SETTING, path.parent, f"{path.name} in it {problem}", "install that release, or name another folder"
        )


def _switch_to_wal(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        problem = f"its file system does not let SQLite use a write-ahead log (journal mode is {mode!r})"
        raise StoreConfigurationError(SETTING, path.parent, problem, "name a folder on a disk of this machine")


def _is_made(connection: sqlite3.Connection) -> bool:
    return _pragma(connection, "user_version") != 0


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _make(connection: sqlite3.Connection, boot_id: str, first_version: int) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO meta (boot_id, horizon) VALUES (?, ?)", (boot_id, first_version - 1))
    connection.execute(_MARK, (first_version,))


def _note_boot(connection: sqlite3.Connection, boot_id: str) -> None:
    """At the first opening after a boot, leave a gap: commits of before may be lost that somebody has seen."""
    if connection.execute("SELECT boot_id FROM meta").fetchone()[0] != boot_id:
        connection.execute("UPDATE meta SET boot_id = ?", (boot_id,))
        connection.execute(_MARK, (newest_version(connection) + BOOT_JUMP,))
