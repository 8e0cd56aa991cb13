"""The log of changes, which is all that the SQLite file holds; and the records, which are what the log says.

    append ─────── own change ────────────┐
    catch_up ───── other processes' ──────┴─> taken in, in the order of versions ──> `version`, `find`, `all_of`

Each process keeps the records in memory. A write is decided there, and is one row that is appended **if the log ends
where this process believes it ends**. The database looks at that under its lock for writing, so a row that was appended
was decided on the newest records; one that was refused has changed nothing, and is decided again after a `catch_up`.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

from elector_server.store import OutcomeUnknown, Record, WatchExpired
from elector_server.store.sqlite_file import is_certain, unavailable
from elector_server.store.watching import Step

# Changes that are taken in at one go, so that a long backlog does not block the loop.
READ_LIMIT = 1_000

# `kind` is NOT NULL, so the row is left out if the log has gone on. Where it is not, its version is one above the
# newest: the newest row is never pruned, so no version comes twice.
_APPEND = (
    "INSERT OR IGNORE INTO change (kind, name, version_before, session_before, session, spec) "
    "VALUES (iif((SELECT max(version) FROM change) = ?, ?, NULL), ?, ?, ?, ?, ?)"
)
_READ = "SELECT version, kind, name, session_before, session, spec FROM change "
_READ_BETWEEN = _READ + "WHERE version > ? AND version <= ? ORDER BY version"
_READ_ALL = _READ + "ORDER BY version"
# One statement, hence one moment.
_READ_NEW = (
    "SELECT (SELECT horizon FROM meta), version, kind, name, session_before, session, spec FROM change "
    "WHERE version > ? ORDER BY version LIMIT ?"
)


class Stored(NamedTuple):
    """One record without its name; `text` is the spec as it is in the file, so nobody can change it."""

    version: int
    session: str
    text: str

    def record(self, kind: str, name: str) -> Record:
        """The record as a caller wants it."""
        return Record(kind, name, self.version, self.session, json.loads(self.text))


class LogRow(NamedTuple):
    """One row of the log. `session` and `text` are None for a removal."""

    version: int
    kind: str
    name: str
    session_before: str | None
    session: str | None
    text: str | None

    def stored(self) -> Stored | None:
        """What is there after this change."""
        if self.session is None or self.text is None:
            return None
        return Stored(self.version, self.session, self.text)

    def step(self) -> Step:
        """The change as watches want it."""
        stored = self.stored()
        record = None if stored is None else stored.record(self.kind, self.name)
        return Step(self.kind, self.name, self.version, record, self.session_before)


class ChangeLog:
    """The log through one connection, and the records up to `version`.

    Raises:
        sqlite3.Error: the log cannot be read. So does every method that reads.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Kept: a cursor for each write costs a tenth of it.
        self._writer = connection.cursor()
        self._records: dict[str, dict[str, Stored]] = {}
        self.version = 0
        self._read_all()

    def __repr__(self) -> str:
        return f"<ChangeLog: {sum(map(len, self._records.values()))} records, version {self.version}>"

    def find(self, kind: str, name: str) -> Stored | None:
        """One record, as of `version`."""
        return self._of_kind(kind).get(name)

    def all_of(self, kind: str) -> list[tuple[str, Stored]]:
        """The names and records of one kind, as of `version`."""
        return list(self._of_kind(kind).items())

    def append(self, kind: str, name: str, before: Stored | None, after: tuple[str, str] | None) -> int | None:
        """Log one change, if nobody has logged another one after `version`; None if somebody has.

        Args:
            kind: the record's kind.
            name: the record's name.
            before: what `find` says.
            after: session and spec, or None to remove the record.

        Raises:
            OutcomeUnknown: the change may be in the log.
            sqlite3.Error: it is not.
        """
        version_before, session_before = (None, None) if before is None else before[:2]
        session, text = (None, None) if after is None else after
        values = (self.version, kind, name, version_before, session_before, session, text)
        try:
            done = self._writer.execute(_APPEND, values)
        except sqlite3.Error as error:
            if is_certain(error):
                raise
            # The row may be in the file already when SQLite reports an error, and recovery would bring it to life.
            raise OutcomeUnknown(str(unavailable(error, "committing"))) from error
        if not done.rowcount:
            return None
        version = done.lastrowid or 0
        self._take_in(version, kind, name, None if after is None else Stored(version, *after))
        return version

    def catch_up(self) -> list[LogRow]:
        """Take in what others have logged, `READ_LIMIT` rows at most. No rows: there is nothing new.

        Raises:
            WatchExpired: part of that is pruned. The records were read anew, and are right.
        """
        rows = self._connection.execute(_READ_NEW, (self.version, READ_LIMIT)).fetchall()
        if rows and rows[0][0] > self.version:
            missed = f"changes after {self.version} are not known any more"
            self._read_all()
            raise WatchExpired(missed)
        changes = [LogRow(*row[1:]) for row in rows]
        for change in changes:
            self._take_in(change.version, change.kind, change.name, change.stored())
        return changes

    def since(self, version: int) -> list[LogRow]:
        """All changes after a version up to `self.version`.

        Raises:
            WatchExpired: they are not all in the log, or the log has not come to that version.
        """
        rows: list[tuple[int, str, str, str | None, str | None, str | None]] = []
        if version < self.version:
            rows = self._connection.execute(_READ_BETWEEN, (version, self.version)).fetchall()
        # Asked after the rows were read: another process may prune in between.
        horizon = self._connection.execute("SELECT horizon FROM meta").fetchone()[0]
        if not horizon <= version <= self.version:
            raise WatchExpired(f"changes since {version} are not known, only {horizon + 1} to {self.version}")
        return [LogRow(*row) for row in rows]

    def data_version(self) -> int:
        """A number that changes when another connection has committed something."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _of_kind(self, kind: str) -> dict[str, Stored]:
        return self._records.get(kind, {})

    def _take_in(self, version: int, kind: str, name: str, stored: Stored | None) -> None:
        if stored is None:
            self._of_kind(kind).pop(name, None)
        else:
            self._records.setdefault(kind, {})[name] = stored
        self.version = version

    def _read_all(self) -> None:
        """Begin anew. What was pruned was superseded by what is there, so the records are whole."""
        rows = self._connection.execute(_READ_ALL).fetchall()
        self._records.clear()
        for row in rows:
            change = LogRow(*row)
            self._take_in(change.version, change.kind, change.name, change.stored())
