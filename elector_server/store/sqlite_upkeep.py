"""What keeps the SQLite file and its write-ahead log small. It waits for the disk, so it runs in a thread."""

from __future__ import annotations

import logging
import sqlite3

from elector_server.store.sqlite_file import is_busy

# The log of changes serves watches that were away for a moment. Whoever was away for longer reads everything again.
CHANGES_KEPT = 10_000

# About 13 MB of write-ahead log: each write adds three pages or four.
WRITES_BETWEEN_UPKEEP = 1_000

# Frames are pages of 4 KiB: 16 MB.
WAL_FRAMES_LIMIT = 4_000

_logger = logging.getLogger(__name__)


def keep_up(connection: sqlite3.Connection) -> None:
    """Prune the log of changes, and copy the write-ahead log into the file. What fails is done next time."""
    try:
        connection.execute("DELETE FROM change WHERE version <= (SELECT max(version) FROM change) - ?", (CHANGES_KEPT,))
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames > WAL_FRAMES_LIMIT:
            # A passive checkpoint never catches up with steady writers, so the log would grow for ever. This one
            # keeps writers out for the moment it takes; they try again meanwhile.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        if not is_busy(error):
            _logger.warning("the SQLite file could not be tidied up: %s", error)
