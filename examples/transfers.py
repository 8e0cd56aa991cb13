"""A recursive lock: functions that take it call each other.

    $ python examples/transfers.py
    4 processes made 40 transfers
    the total is 300, as before

`transfer` holds the lock and calls `change`, which takes it again: with a `Lock` the process would wait for itself. To
take it again asks nobody, so it costs nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from pathlib import Path

from metaparticle_sync import RLock

PROCESSES, TRANSFERS = 4, 10


class Accounts:
    """Balances in a file that many processes change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = RLock("accounts")

    def balances(self) -> dict[str, int]:
        with self._lock:
            return json.loads(self._file.read_text())

    def change(self, account: str, amount: int) -> None:
        with self._lock:
            balances = self.balances()
            balances[account] += amount
            self._file.write_text(json.dumps(balances))

    def transfer(self, source: str, target: str, amount: int) -> None:
        with self._lock:  # So nobody sees the money in neither account, or in both.
            self.change(source, -amount)
            self.change(target, amount)


def work(file: Path, number: int) -> None:
    accounts, names = Accounts(file), ["ada", "ben", "cat"]
    for turn in range(TRANSFERS):
        accounts.transfer(names[(number + turn) % 3], names[(number + turn + 1) % 3], 10 + turn)


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "accounts.json")
        file.write_text(json.dumps({"ada": 100, "ben": 100, "cat": 100}))
        processes = [spawn.Process(target=work, args=(file, number)) for number in range(PROCESSES)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        total = sum(Accounts(file).balances().values())
        print(f"{PROCESSES} processes made {PROCESSES * TRANSFERS} transfers")
        print(f"the total is {total}, {'as before' if total == 300 else 'BUT IT WAS 300'}")


if __name__ == "__main__":
    main()
