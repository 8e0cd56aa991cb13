"""What keeps the SQLite file and its write-ahead log small. It waits for the disk, so it runs in a thread."""

from __future__ import annotations

import logging
import sqlite3

from elector_server.store.sqlite_file import is_busy, newest_version, transaction

# The log of changes serves watches that were away for a moment. Whoever was away for longer reads everything again.
CHANGES_KEPT = 10_000

# About 3 MB of write-ahead log: each write adds a page, or three where it begins a new one.
WRITES_BETWEEN_UPKEEP = 1_000

# Frames are pages of 2 KiB: 8 MB.
WAL_FRAMES_LIMIT = 4_000

# Of the changes between two horizons: the rows that they superseded, and the removals themselves. So a row goes no
# later than the one that superseded it, and what is left are the records and all changes after the horizon.
_PRUNE = """
    WITH passed AS (SELECT version, version_before, spec FROM change WHERE version > ? AND version <= ?)
    DELETE FROM change WHERE version IN (
        SELECT version_before FROM passed UNION ALL SELECT version FROM passed WHERE spec IS NULL)"""

_logger = logging.getLogger(__name__)


def keep_up(connection: sqlite3.Connection) -> None:
    """Prune the log of changes, and copy the write-ahead log into the file. What fails is done next time."""
    try:
        with transaction(connection, "BEGIN IMMEDIATE"):
            _prune(connection)
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames > WAL_FRAMES_LIMIT:
            # A passive checkpoint never catches up with steady writers, so the log would grow for ever. This one
            # keeps writers out for the moment it takes; they try again meanwhile.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        if not is_busy(error):
            _logger.warning("the SQLite file could not be tidied up: %s", error)


def _prune(connection: sqlite3.Connection) -> None:
    pruned_up_to = connection.execute("SELECT horizon FROM meta").fetchone()[0]
    horizon = newest_version(connection) - CHANGES_KEPT
    if horizon > pruned_up_to:
        connection.execute(_PRUNE, (pruned_up_to, horizon))
        connection.execute("UPDATE meta SET horizon = ?", (horizon,))
