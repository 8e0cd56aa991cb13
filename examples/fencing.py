"""A resource that checks the token: the only thing that protects from a holder which was paused and does not know it.

    python examples/fencing.py

A lock service can not stop a process that sleeps through the end of its lease, wakes up and writes. The resource can:
it remembers the largest token that it has seen, and refuses every smaller one. Here the resource is a SQLite database,
and the check is one statement in the same transaction as the write.
"""

from __future__ import annotations

import sqlite3

from metaparticle_sync import Lock


class StaleTokenError(Exception):
    """The writer's hold is over: a later holder has been here."""


class Account:
    """A balance that only the newest holder of the lock can change."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS account (balance INTEGER NOT NULL, token INTEGER NOT NULL)")
        self._database.execute("INSERT INTO account SELECT 0, 0 WHERE NOT EXISTS (SELECT * FROM account)")

    def balance(self) -> int:
        return self._database.execute("SELECT balance FROM account").fetchone()[0]

    def write(self, balance: int, token: int) -> None:
        """Set the balance.

        Raises:
            StaleTokenError: a larger token was here before. Nothing was changed.
        """
        changed = self._database.execute(
            "UPDATE account SET balance = ?, token = ? WHERE token <= ?", (balance, token, token)
        )
        if changed.rowcount == 0:
            raise StaleTokenError(f"token {token} is older than one that was here before")


def main() -> None:
    account, lock = Account(":memory:"), Lock("account")

    # The first holder reads, and is then paused by its machine for longer than its lease.
    with lock:
        paused_token, paused_balance = lock.token, account.balance()
    print(f"first holder:  token {paused_token}, read {paused_balance}, and is paused before it writes")

    with lock:
        account.write(account.balance() + 100, lock.token)
        print(f"second holder: token {lock.token}, wrote {account.balance()}")

    try:
        account.write(paused_balance + 1, paused_token)
    except StaleTokenError as error:
        print(f"first holder:  wakes up, writes, and is refused: {error}")
    print(f"the balance is {account.balance()}")


if __name__ == "__main__":
    main()
