"""What is special to the SQLite store: its size, and what pruning leaves."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from elector_server.store import Conflict, Exists, Record, WatchExpired
from elector_server.store import sqlite_upkeep as upkeep
from elector_server.store.sqlite import SqliteStore
from elector_server.store.sqlite_file import PAGE_BYTES
from tests.stores.harness import next_change, next_changes
from tests.stores.harness import use_sqlite as use


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "elector.db"


async def write_many(store: SqliteStore, count: int) -> Record:
    record = await store.create("lock", "a", "s", {})
    for _ in range(count):
        record = await store.replace("lock", "a", record.version, "s", {"text": "x" * 300})
    return record


class TestSize:
    def test_the_log_of_changes_is_pruned_and_watches_are_told(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(upkeep, "CHANGES_KEPT", 20)
        monkeypatch.setattr("elector_server.store.sqlite.WRITES_BETWEEN_UPKEEP", 50)

        async def body(store: SqliteStore) -> None:
            start = await store.create("lock", "start", "s", {})
            for number in range(4):
                await store.create("lock", f"b{number}", "s", {})
                record = await write_many(store, 50)
                await store.delete("lock", "a", record.version)
                # A list waits for its turn behind the upkeep.
                listing = await store.list("lock")
            with closing(sqlite3.connect(path)) as connection:
                kept = connection.execute("SELECT count(*) FROM change").fetchone()[0]
            assert 20 <= kept < 20 + 2 * 50
            async with store.watch("lock", start.version) as watch:
                with pytest.raises(WatchExpired):
                    await next_change(watch)
            async with store.watch("lock", listing.version - 15) as watch:
                assert [change.version for change in await next_changes(watch, 15)] == list(
                    range(listing.version - 14, listing.version + 1)
                )

        use(path, body)

    def test_a_watch_that_others_prune_away_is_told(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upkeep, "CHANGES_KEPT", 1)

        async def body(store: SqliteStore) -> None:
            start = await store.create("lock", "start", "s", {})
            other = SqliteStore(path, boot_id="boot")
            async with store.watch("lock", start.version, name="a") as watch:
                await other.delete("lock", "start", start.version)
                await write_many(other, 3)
                upkeep.keep_up(other._thread_connection)
                with pytest.raises(WatchExpired):
                    await next_change(watch)
            await other.close()

        use(path, body)

    def test_who_slept_while_others_pruned_knows_the_records(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upkeep, "CHANGES_KEPT", 1)

        async def body(store: SqliteStore) -> None:
            gone, kept = await store.create("lock", "gone", "s", {}), await store.create("lock", "kept", "s", {})
            other = SqliteStore(path, boot_id="boot")
            await other.delete("lock", "gone", gone.version)
            await write_many(other, 3)
            upkeep.keep_up(other._thread_connection)
            with pytest.raises(Exists):
                await store.create("lock", "a", "s", {})
            with pytest.raises(Conflict):
                await store.replace("lock", "gone", gone.version, "s", {})
            assert (await store.list("lock")).records == (await other.list("lock")).records
            again = await store.create("lock", "gone", "s", {})
            assert (await other.get("lock", "kept"), await other.get("lock", "gone")) == (kept, again)
            await other.close()

        use(path, body)

    def test_only_what_was_superseded_is_pruned(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A row that outlived the horizon goes when it is superseded, however old it is."""
        monkeypatch.setattr(upkeep, "CHANGES_KEPT", 5)
        chance = random.Random(1)

        async def body(store: SqliteStore) -> None:
            present: dict[str, Record] = {}
            for number in range(1_000):
                name = f"a{chance.randrange(30)}"
                if name not in present:
                    present[name] = await store.create("lock", name, f"s{number}", {"number": number})
                elif chance.random() < 0.5:
                    await store.delete("lock", name, present.pop(name).version)
                else:
                    version = present[name].version
                    present[name] = await store.replace("lock", name, version, f"s{number}", {"number": number})
                if number % 7 == 0:
                    upkeep.keep_up(store._thread_connection)
                    rows = store._connection.execute("SELECT count(*) FROM change").fetchone()[0]
                    assert rows <= len(present) + 2 * upkeep.CHANGES_KEPT
                    other = SqliteStore(path, boot_id="boot")
                    assert {record.name: record for record in (await other.list("lock")).records} == present
                    await other.close()

        use(path, body)

    def test_the_write_ahead_log_is_bounded(self, path: Path) -> None:
        log = path.with_name(path.name + "-wal")
        sizes: list[int] = []

        async def body(store: SqliteStore) -> None:
            for number in range(8):
                await store.create("lock", f"b{number}", "s", {})
                record = await write_many(store, upkeep.WRITES_BETWEEN_UPKEEP)
                await store.delete("lock", "a", record.version)
                await store.list("lock")
                sizes.append(log.stat().st_size)

        use(path, body)
        # A page or three for each write between two tidyings, and those that are made during one.
        assert max(sizes) < 2 * 5 * PAGE_BYTES * upkeep.WRITES_BETWEEN_UPKEEP
        assert not log.exists()

    def test_a_log_that_grew_is_cut_off(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A passive checkpoint never catches up with steady writers."""
        monkeypatch.setattr("elector_server.store.sqlite.WRITES_BETWEEN_UPKEEP", 10**9)
        log = path.with_name(path.name + "-wal")

        async def body(store: SqliteStore) -> None:
            await write_many(store, upkeep.WAL_FRAMES_LIMIT)
            assert log.stat().st_size > upkeep.WAL_FRAMES_LIMIT * PAGE_BYTES
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                upkeep.keep_up(other)
            assert log.stat().st_size == 0
            assert await store.get("lock", "a") is not None

        use(path, body)
