"""Watches on the SQLite file: its log of changes, read once for all open watches of one process.

    own write ─────────── wrote ───────────────┐
    another process's ─── catch_up (timer) ────┴─> publish to the watches, in the order of versions

Another process's commit shows only in `PRAGMA data_version`, and one's own never does. A look costs 3 µs. It is taken
while a watch is open, never otherwise.
"""

from __future__ import annotations

import asyncio
import sqlite3

from elector_server.store import StoreError, WatchExpired
from elector_server.store.sqlite_file import is_busy, unavailable
from elector_server.store.sqlite_log import READ_LIMIT, ChangeLog
from elector_server.store.watching import ChangeWatch, Step, Watchers

# Who watches a name waits for a hand-off; the others wait for what is rare.
LOOK_SECONDS_BY_NAME = 0.005
LOOK_SECONDS = 0.25

# No data version is negative: the next look reads the log whatever it sees.
_UNSEEN = -1


class LogReader:
    """The open watches of one handle. They have heard of all changes that its log has taken in."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log
        self._watchers = Watchers()
        self._seen_data_version = _UNSEEN
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        watches = f"{self._watchers.count} watches, {self._watchers.count_by_name} by name"
        looks = "not looking" if self._timer is None else f"looking every {self._interval_seconds() * 1000:g} ms"
        return f"<LogReader: {watches}, {looks}>"

    def open(self, watch: ChangeWatch) -> None:
        """Give a watch what was logged before it came, and from now on what follows."""
        try:
            self._replay(watch)
        except WatchExpired as error:
            watch.end(error)
            return
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
        """Hear of a change that this process has logged. Never raises."""
        self._watchers.publish(step)

    def catch_up(self) -> bool:
        """Take in all that other processes have logged, and hand it on. Tells whether there was anything.

        Raises:
            sqlite3.Error: the log cannot be read.
        """
        count = self._take_in()
        more = count
        while more == READ_LIMIT:
            more = self._take_in()
        return count > 0

    def _take_in(self) -> int:
        try:
            changes = self._log.catch_up()
        except WatchExpired as error:
            self._watchers.end_all(error)
            return 1
        for change in changes:
            if self._watchers.want(change.kind, change.name, change.session, change.session_before):
                self._watchers.publish(change.step())
        return len(changes)

    def _replay(self, watch: ChangeWatch) -> None:
        self.catch_up()
        for row in self._log.since(watch.since):
            change = row.step().seen_from(watch.topic)
            if change is not None:
                watch.push(change)

    # --- looking for others' commits ----------------------------------------------------------------------------

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
        seconds = self._interval_seconds()
        try:
            seen = self._log.data_version()
            if seen != self._seen_data_version and self._take_in() == READ_LIMIT:
                seen, seconds = _UNSEEN, 0
            self._seen_data_version = seen
        except sqlite3.Error as error:
            self._seen_data_version = _UNSEEN
            if not is_busy(error):
                self.end_all(unavailable(error, "reading the changes"))
        self._plan_look(seconds)
