"""A process of its own that writes to a SQLite store: `python -m tests.stores.writer_process <file> <steps>`.

It adds one to a shared counter `steps` times (0: for ever), and prints each number and version that it has committed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from elector_server.store import Conflict, Exists, Record
from elector_server.store.sqlite import SqliteStore

KIND, NAME, SESSION = "lock", "counter", "s"


async def add_one(store: SqliteStore) -> Record:
    """One step of the counter, by compare-and-swap."""
    while True:
        record = await store.get(KIND, NAME)
        try:
            if record is None:
                return await store.create(KIND, NAME, SESSION, {"number": 1})
            number = record.spec["number"] + 1
            return await store.replace(KIND, NAME, record.version, SESSION, {"number": number})
        except (Conflict, Exists):
            pass


async def main(path: Path, steps: int) -> None:
    store = SqliteStore(path, boot_id="boot")
    done = 0
    while done < steps or steps == 0:
        record = await add_one(store)
        print(record.spec["number"], record.version, flush=True)
        done += 1
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
