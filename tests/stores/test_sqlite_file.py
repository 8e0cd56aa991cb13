"""What is special to the SQLite store: which files it takes, and how versions go on from one opening to the next."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest

from elector_server.store import Record, StoreUnavailable, sqlite
from elector_server.store.sqlite import SqliteStore, StoreConfigurationError
from elector_server.store.sqlite_file import BOOT_JUMP, SCHEMA_VERSION

T = TypeVar("T")

START = 1_700_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "elector.db"


def use(
    path: Path,
    body: Callable[[SqliteStore], Coroutine[Any, Any, T]],
    *,
    boot: str = "boot",
    wall: int = START,
) -> T:
    """Open the store, do something in it, close it."""

    async def main() -> T:
        store = SqliteStore(path, boot_id=boot, wall_microseconds=lambda: wall)
        try:
            return await asyncio.wait_for(body(store), 30)
        finally:
            await store.close()

    return asyncio.run(main())


def write(name: str) -> Callable[[SqliteStore], Coroutine[Any, Any, Record]]:
    return lambda store: store.create("lock", name, "s", {})


def remove(path: Path) -> None:
    path.unlink()


def refusal(path: Path) -> str:
    with pytest.raises(StoreConfigurationError) as caught:
        SqliteStore(path, boot_id="boot")
    message = str(caught.value)
    assert "--state-dir" in message
    assert "ELECTOR_STATE_DIR" in message
    assert str(path.parent) in message
    return message


class TestFile:
    def test_it_is_made_with_its_folder_for_this_user_only(self, path: Path) -> None:
        async def modes(store: SqliteStore) -> set[int]:
            await store.create("lock", "a", "s", {})
            return {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

        assert use(path, modes) == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_an_empty_file_is_a_new_one(self, path: Path) -> None:
        path.parent.mkdir()
        path.touch()
        assert use(path, write("a")).version > START

    def test_many_can_make_it_at_once(self, path: Path) -> None:
        start = threading.Barrier(4)

        def open_and_close(number: int) -> int:
            start.wait(30)
            return use(path.with_name(f"{number // 4}.db"), write(f"a{number}")).version

        with ThreadPoolExecutor(4) as threads:
            versions = list(threads.map(open_and_close, range(100)))
        assert sorted(versions) == sorted([START + 1, START + 2, START + 3, START + 4] * 25)

    def test_something_that_is_no_database_is_refused_and_left_alone(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"these are my notes\n" * 1000)
        assert "elector.db in it is not a SQLite database" in refusal(path)
        assert path.read_bytes() == b"these are my notes\n" * 1000

    def test_a_database_of_another_program_is_refused_and_left_alone(self, path: Path) -> None:
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE notes (text TEXT)")
        before = path.read_bytes()
        assert "another program" in refusal(path)
        assert path.read_bytes() == before

    def test_a_newer_schema_is_refused_and_left_alone(self, path: Path) -> None:
        use(path, write("a"))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        before = path.read_bytes()
        assert f"schema {SCHEMA_VERSION + 1} of a newer release" in refusal(path)
        assert path.read_bytes() == before

    def test_a_damaged_file_is_refused(self, path: Path) -> None:
        use(path, write("a"))
        with path.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * (path.stat().st_size - 100))
        assert "damaged" in refusal(path)

    def test_a_folder_in_its_place_is_refused(self, path: Path) -> None:
        path.mkdir(parents=True)
        assert "cannot be opened" in refusal(path)

    def test_a_file_that_another_process_keeps_locked_is_unavailable(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(path, write("a"))
        monkeypatch.setattr("elector_server.store.sqlite_file.OPENING_SECONDS", 0.01)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="another process keeps the file locked"):
                SqliteStore(path, boot_id="boot")
        use(path, write("b"))


class TestVersions:
    def test_they_start_from_the_clock_and_rise_by_one(self, path: Path) -> None:
        assert use(path, write("a")).version == START + 1
        assert use(path, write("b")).version == START + 2

    def test_the_clock_is_not_looked_at_again(self, path: Path) -> None:
        use(path, write("a"), wall=START)
        assert use(path, write("b"), wall=0).version == START + 2

    def test_a_deleted_file_does_not_start_again(self, path: Path) -> None:
        last = use(path, write("a"), wall=START).version
        path.unlink()
        assert use(path, write("a"), wall=START + 1_000_000).version > last

    def test_they_jump_at_the_first_opening_after_a_boot(self, path: Path) -> None:
        first = use(path, write("a"), boot="one").version
        second = use(path, write("b"), boot="two").version
        third = use(path, write("c"), boot="two").version
        assert second > first + BOOT_JUMP
        assert third == second + 1

    def test_a_watch_from_before_the_jump_misses_nothing(self, path: Path) -> None:
        first = use(path, write("a"), boot="one")

        async def watch(store: SqliteStore) -> Record | None:
            await store.create("lock", "b", "s", {})
            async with store.watch("lock", first.version) as changes:
                return (await changes.next()).record

        seen = use(path, watch, boot="two")
        assert seen is not None
        assert seen.name == "b"


class TestDeletedWhileOpen:
    def test_nothing_is_written_any_more(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next elector would make a new file, and two would hold one lock."""
        monkeypatch.setattr(sqlite, "FILE_LOOK_SECONDS", 0.0)

        async def body(store: SqliteStore) -> None:
            record = await store.create("lock", "a", "s", {})
            remove(path)
            with pytest.raises(StoreUnavailable, match="deleted or replaced"):
                await store.replace("lock", "a", record.version, "s", {})
            other = SqliteStore(path, boot_id="boot")
            await other.create("lock", "a", "s", {})
            with pytest.raises(StoreUnavailable, match="deleted or replaced"):
                await store.delete("lock", "a", record.version)
            await other.close()

        use(path, body)

    def test_writes_go_on_for_a_moment_only(self, path: Path) -> None:
        async def body(store: SqliteStore) -> None:
            remove(path)
            give_up_at = time.monotonic() + 60
            with pytest.raises(StoreUnavailable, match="deleted or replaced"):
                for number in itertools.count():
                    assert time.monotonic() < give_up_at
                    await store.create("lock", f"a{number}", "s", {})

        use(path, body)
