"""Watches on the SQLite file: its log of changes, read once for all open watches of one process.

    own write ──────── wrote ──────────────┐
    another process's  ── look (timer) ────┴─> publish to the watches, in the order of versions

Another process's commit shows only in `PRAGMA data_version`, and one's own never does. A look costs 3 µs. It is taken
while a watch is open, never otherwise.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import NamedTuple

from elector_server.store import Record, StoreError, WatchExpired
from elector_server.store.sqlite_file import is_busy, newest_version, unavailable
from elector_server.store.watching import ChangeWatch, Step, Watchers

# Who watches a name waits for a hand-off; the others wait for what is rare.
LOOK_SECONDS_BY_NAME = 0.005
LOOK_SECONDS = 0.25

# Changes that are read at one go, so that a long backlog does not block the loop.
READ_LIMIT = 1_000

_READ = "SELECT kind, name, version, session, spec, session_before FROM change "
_READ_PUBLISHED = _READ + "WHERE version > ? AND version <= ? ORDER BY version"
_READ_NEW = _READ + "WHERE version > ? ORDER BY version LIMIT ?"

# No data version is negative: the next look reads the log whatever it sees.
_UNSEEN = -1


class _Row(NamedTuple):
    """One row of the log. `session` and `spec` are None for a removal."""

    kind: str
    name: str
    version: int
    session: str | None
    spec: str | None
    session_before: str | None

    def step(self) -> Step:
        record = None
        if self.session is not None and self.spec is not None:
            record = Record(self.kind, self.name, self.version, self.session, json.loads(self.spec))
        return Step(self.kind, self.name, self.version, record, self.session_before)


class LogReader:
    """The open watches of one handle, and how far the log was read for them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._watchers = Watchers()
        # All changes up to this version were handed to the watches that are open.
        self._published = 0
        self._seen_data_version = _UNSEEN
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        watches = f"{self._watchers.count} watches, {self._watchers.count_by_name} by name"
        looks = "not looking" if self._timer is None else f"looking every {self._interval_seconds() * 1000:g} ms"
        return f"<LogReader: {watches}, {looks}>"

    def open(self, watch: ChangeWatch) -> None:
        """Give a watch what was published before it came, and from now on what follows."""
        try:
            self._replay(watch)
        except sqlite3.Error as error:
            watch.end(unavailable(error, "opening a watch"))
            return
        self._watchers.add(watch)
        self._plan_look(self._interval_seconds())

    def close(self, watch: ChangeWatch) -> None:
        """Forget a watch; the last one ends the looks."""
        self._watchers.discard(watch)
        self._stop_if_idle()

    def end_all(self, error: StoreError) -> None:
        """End all watches, and look no more."""
        self._watchers.end_all(error)
        self._stop_if_idle()

    def wrote(self, step: Step) -> None:
        """Hear of this process's own commit. Never raises."""
        if not self._watchers.count:
            return
        if step.version == self._published + 1:
            self._published = step.version
            self._watchers.publish(step)
        else:
            self._publish_new()

    # --- reading the log ----------------------------------------------------------------------------------------

    def _replay(self, watch: ChangeWatch) -> None:
        if not self._watchers.count:
            # In this order: what is committed in between is found at the next look.
            self._seen_data_version = self._data_version()
            self._published = newest_version(self._connection)
        rows: list[tuple[str, str, int, str | None, str | None, str | None]] = []
        if watch.since < self._published:
            rows = self._connection.execute(_READ_PUBLISHED, (watch.since, self._published)).fetchall()
        # Asked after the rows were read: another process may prune in between.
        oldest, newest = self._connection.execute("SELECT min(version), max(version) FROM change").fetchone()
        if not oldest - 1 <= watch.since <= newest:
            watch.end(WatchExpired(f"changes since {watch.since} are not known, only {oldest} to {newest}"))
            return
        for row in rows:
            change = _Row(*row).step().seen_from(watch.topic)
            if change is not None:
                watch.push(change)

    def _publish_new(self) -> None:
        """Read what the log has beyond the last look. Watches end if it cannot be read."""
        try:
            rows = self._connection.execute(_READ_NEW, (self._published, READ_LIMIT)).fetchall()
        except sqlite3.Error as error:
            self._seen_data_version = _UNSEEN
            if not is_busy(error):
                self.end_all(unavailable(error, "reading the changes"))
            return
        for row in rows:
            self._publish(_Row(*row))
        if len(rows) == READ_LIMIT:
            self._seen_data_version = _UNSEEN
            self._plan_look(0)

    def _publish(self, row: _Row) -> None:
        if row.version != self._published + 1:
            # The log has no gaps but where it was pruned, or where versions jumped.
            self.end_all(WatchExpired(f"changes after {self._published} are not known any more"))
        elif self._watchers.want(row.kind, row.name, row.session, row.session_before):
            self._watchers.publish(row.step())
        self._published = row.version

    # --- looking for others' commits ----------------------------------------------------------------------------

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _interval_seconds(self) -> float:
        return LOOK_SECONDS_BY_NAME if self._watchers.count_by_name else LOOK_SECONDS

    def _plan_look(self, seconds: float) -> None:
        """Look after `seconds`, unless an earlier look is planned: watches that come and go must not put it off."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._watchers.count and (self._timer is None or self._timer.when() > at):
            self._cancel_look()
            self._timer = loop.call_at(at, self._look)

    def _stop_if_idle(self) -> None:
        if not self._watchers.count:
            self._cancel_look()

    def _cancel_look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        try:
            seen = self._data_version()
        except sqlite3.Error as error:
            if not is_busy(error):
                self.end_all(unavailable(error, "watching the file"))
        else:
            if seen != self._seen_data_version:
                self._seen_data_version = seen
                self._publish_new()
        self._plan_look(self._interval_seconds())
