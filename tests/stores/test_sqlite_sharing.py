"""What is special to the SQLite store: several processes, waiting for each other, and failing disks."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from elector_server.store import Conflict, Exists, OutcomeUnknown, Record, StoreUnavailable
from elector_server.store.sqlite import SqliteStore
from tests.stores.harness import next_change, next_changes, turns_of_the_loop
from tests.stores.harness import use_sqlite as use
from tests.stores.writer_process import KIND, NAME, add_one

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "elector.db"


def step_of(record: Record) -> tuple[int, int]:
    return record.spec["number"], record.version


def start_writer(path: Path, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.stores.writer_process", str(path), str(steps)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)


def read_steps(writer: subprocess.Popen[str], count: int) -> list[tuple[int, int]]:
    """The next numbers and versions that a writer has committed."""
    assert writer.stdout is not None
    lines = [writer.stdout.readline().split() for _ in range(count)]
    return [(int(number), int(version)) for number, version in lines]


def kill(writer: subprocess.Popen[str]) -> list[tuple[int, int]]:
    """End a writer with SIGKILL, and give what it had still said. A line that it was cut off in does not count."""
    writer.send_signal(signal.SIGKILL)
    assert writer.stdout is not None
    with writer.stdout:
        rest = writer.stdout.read()
    writer.wait(timeout=30)
    whole = rest[: rest.rfind("\n") + 1].splitlines()
    return [(int(number), int(version)) for number, version in (line.split() for line in whole)]


class TestProcesses:
    def test_no_step_of_two_processes_is_lost(self, path: Path) -> None:
        """They also make the file, both at once."""
        writers = [start_writer(path, 400) for _ in range(2)]
        steps = [step for writer in writers for step in self.all_steps(writer)]
        assert sorted(number for number, _ in steps) == list(range(1, 801))
        by_number = [version for _, version in sorted(steps)]
        assert by_number == sorted(set(by_number))

        async def check(store: SqliteStore) -> None:
            record = await store.get(KIND, NAME)
            assert record is not None
            assert (record.spec["number"], record.version) == max(steps)

        use(path, check)

    @staticmethod
    def all_steps(writer: subprocess.Popen[str]) -> list[tuple[int, int]]:
        said, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        return [(int(number), int(version)) for number, version in (line.split() for line in said.splitlines())]

    def test_a_killed_writer_loses_nothing_that_it_had_committed(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            last = await add_one(store)
            for _ in range(5):
                before = last.spec["number"]
                writer = start_writer(path, 0)
                said = read_steps(writer, 50)
                said.append(step_of(await add_one(store)))
                said += read_steps(writer, 50) + kill(writer)
                last = await add_one(store)
                numbers = [number for number, _ in said]
                assert len(numbers) == len(set(numbers))
                # The writer's last commit may have been made and not said; no other.
                unsaid = set(range(before + 1, last.spec["number"])).symmetric_difference(numbers)
                assert len(unsaid) <= 1
                assert [version for _, version in sorted(said)] == sorted(version for _, version in said)

        use(path, body)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def test_a_watch_sees_each_commit_of_another_process(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            start = await add_one(store)
            async with store.watch(KIND, start.version, name=NAME) as watch:
                writer = start_writer(path, 0)
                changes = await next_changes(watch, 300)
                said = read_steps(writer, 300)
                kill(writer)
            assert [change.version for change in changes] == [version for _, version in said]

        use(path, body)


class TestLooking:
    """`PRAGMA data_version` is looked at as often as the open watches need, and never without one."""

    def test_how_often(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            start = await store.create("lock", "a", "s", {})
            assert "not looking" in repr(store)
            async with store.watch("lock", start.version, session="s"), store.watch("session", start.version):
                assert "looking every 250 ms" in repr(store)
                async with store.watch("lock", start.version, name="a"):
                    assert "looking every 5 ms" in repr(store)
                assert "looking every 250 ms" in repr(store)
            assert "not looking" in repr(store)

        use(path, body)

    def test_closing_the_store_ends_the_looks(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            start = await store.create("lock", "a", "s", {})
            async with store.watch("lock", start.version, name="a") as watch:
                await store.close()
                with pytest.raises(StoreUnavailable, match="the store was closed"):
                    await next_change(watch)

        use(path, body)

    def test_watches_that_come_and_go_do_not_put_it_off(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            start = await store.create("lock", "a", "s", {})
            other = SqliteStore(path, boot_id="boot")
            async with store.watch("lock", start.version, name="a") as watch:
                await other.replace("lock", "a", start.version, "s", {})
                reading = asyncio.create_task(watch.next())
                # However fast the machine is, so many rounds take longer than a look is away.
                for _ in range(1_000):
                    async with store.watch("lock", start.version, name="b"):
                        await turns_of_the_loop()
                assert reading.done()
                assert (await reading).version == start.version + 1
            await other.close()

        use(path, body)

    def test_own_writes_wake_watches_at_once(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            start = await store.create("lock", "a", "s", {})
            async with store.watch("lock", start.version, session="s") as watch:
                reading = asyncio.create_task(watch.next())
                await turns_of_the_loop()
                began = asyncio.get_running_loop().time()
                await store.replace("lock", "a", start.version, "s", {})
                await turns_of_the_loop()
                # 250 ms is the time of the next look; the loop's turns take microseconds.
                assert reading.done() or asyncio.get_running_loop().time() > began + 0.2

        use(path, body)


class TestBusy:
    def test_waiting_for_another_process_does_not_block_the_loop(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                writing = asyncio.create_task(store.create("lock", "a", "s", {}))
                await turns_of_the_loop(100)
                assert not writing.done()
                assert await store.get("lock", "a") is None
                other.execute("COMMIT")
                assert (await writing).name == "a"

        use(path, body)

    def test_it_gives_up_and_has_written_nothing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("elector_server.store.sqlite.BUSY_SECONDS", 0.05)

        async def body(store: SqliteStore) -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreUnavailable, match="another process keeps the file locked") as caught:
                    await store.create("lock", "a", "s", {})
                assert not isinstance(caught.value, OutcomeUnknown)
            await store.create("lock", "a", "s", {})

        use(path, body)

    def test_a_cancelled_waiter_has_written_nothing(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                writing = asyncio.create_task(store.create("lock", "a", "s", {}))
                await turns_of_the_loop()
                writing.cancel()
                await asyncio.wait([writing])
                assert writing.cancelled()
            await store.create("lock", "a", "s", {})

        use(path, body)


class FailingCommits:
    """A cursor whose statements report an error: before they are done, or after."""

    def __init__(self, inner: sqlite3.Cursor, code: int, *, late: bool) -> None:
        self._inner = inner
        self._code = code
        self._late = late

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if self._late:
            self._inner.execute(statement, *values)
        error = sqlite3.OperationalError("as the test wants it")
        error.sqlite_errorcode = self._code
        raise error


class TestErrors:
    @pytest.mark.parametrize("late", [False, True])
    def test_a_commit_that_fails_is_an_unknown_outcome(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, *, late: bool
    ) -> None:
        async def body(store: SqliteStore) -> None:
            failing = FailingCommits(store._log._writer, sqlite3.SQLITE_IOERR, late=late)
            with monkeypatch.context() as patch:
                patch.setattr(store._log, "_writer", failing)
                with pytest.raises(OutcomeUnknown, match="the disk failed"):
                    await store.create("lock", "a", "s", {})
            assert (await store.get("lock", "a") is not None) == late
            await store.create("lock", "b", "s", {})

        use(path, body)

    def test_a_write_of_unknown_outcome_is_seen_by_watches(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def body(store: SqliteStore) -> None:
            start = await store.create("lock", "start", "s", {})
            async with store.watch("lock", start.version) as watch:
                failing = FailingCommits(store._log._writer, sqlite3.SQLITE_IOERR, late=True)
                with monkeypatch.context() as patch:
                    patch.setattr(store._log, "_writer", failing)
                    with pytest.raises(OutcomeUnknown):
                        await store.create("lock", "a", "s", {})
                with pytest.raises(Exists):
                    await store.create("lock", "a", "s", {})
                await store.create("lock", "b", "s", {})
                assert [change.name for change in await next_changes(watch, 2)] == ["a", "b"]

        use(path, body)

    def test_a_file_that_went_back_in_time_is_not_written_to(self, path: Path) -> None:
        """An older copy over the file, in place: what this process knows is not there any more."""

        async def body(store: SqliteStore) -> None:
            record = await store.create("lock", "a", "s", {})
            await store.create("lock", "b", "s", {})
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("DELETE FROM change WHERE version > ?", (record.version,))
            with pytest.raises(StoreUnavailable, match="has lost changes"):
                await store.create("lock", "c", "s", {})

        use(path, body)

    def test_a_full_disk_is_said_and_changes_nothing(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            record = await store.create("lock", "a", "s", {})
            pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
            store._connection.execute(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(StoreUnavailable, match="the disk is full") as caught:
                await store.replace("lock", "a", record.version, "s", {"long": "x" * 1_000_000})
            assert not isinstance(caught.value, OutcomeUnknown)
            assert await store.get("lock", "a") == record
            store._connection.execute("PRAGMA max_page_count = 1000000")
            assert (await store.replace("lock", "a", record.version, "s", {})).version == record.version + 1

        use(path, body)

    def test_a_name_that_is_no_text_leaves_no_transaction_behind(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            with pytest.raises(ValueError, match="surrogate"):
                await store.create("lock", "\ud800", "s", {})
            with pytest.raises(Conflict):
                await store.delete("lock", "a", 2**70)
            await store.create("lock", "a", "s", {})

        use(path, body)

    def test_a_watch_ends_if_the_log_cannot_be_read(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            start = await store.create("lock", "a", "s", {})
            async with store.watch("lock", start.version, name="a") as watch:
                with closing(sqlite3.connect(path, isolation_level=None)) as other:
                    other.execute("ALTER TABLE change RENAME TO elsewhere")
                with pytest.raises(StoreUnavailable, match="reading the changes"):
                    await next_change(watch)
            assert "not looking" in repr(store)

        use(path, body)


def test_the_file_is_shared_by_path_not_by_working_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(store: SqliteStore) -> None:
        os.chdir("/")
        await store.create("lock", "a", "s", {})

    monkeypatch.chdir(path.parent)
    use(Path(path.name), body)
