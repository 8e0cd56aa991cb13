"""A condition: consumers wait until producers have put something into a folder.

    $ python examples/producer_consumer.py
    2 producers made 20 orders
    3 consumers handled 20 orders, none of them twice
    nothing is left

The folder is what they share; the condition says when it is worth a look. Its lock is held during each look and each
change, as with `threading.Condition`.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path

from metaparticle_sync import Condition

PRODUCERS, CONSUMERS, ORDERS = 2, 3, 10


def produce(folder: Path, producer: int) -> None:
    changed = Condition(name="orders")
    for number in range(ORDERS):
        with changed:
            (folder / f"order-{producer}-{number}").touch()
            changed.notify()


def consume(folder: Path, journal: Path) -> None:
    for order in orders(folder, Condition(name="orders")):
        with journal.open("a") as lines:
            lines.write(f"{order}\n")


def orders(folder: Path, changed: Condition) -> Iterator[str]:
    """Take one order after the other, until the shop has closed and nothing is left."""
    while True:
        with changed:
            changed.wait_for(lambda: any(folder.iterdir()))
            order = min(folder.iterdir(), key=lambda file: (file.name == "closed", file.name))
            if order.name == "closed":
                return
            order.unlink()
        yield order.name  # Outside the lock: others take the next one meanwhile.


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        folder, journals = Path(place, "orders"), [Path(place, f"journal-{number}") for number in range(CONSUMERS)]
        folder.mkdir()
        consumers = [spawn.Process(target=consume, args=(folder, journal)) for journal in journals]
        producers = [spawn.Process(target=produce, args=(folder, number)) for number in range(PRODUCERS)]
        for process in consumers + producers:
            process.start()
        for producer in producers:
            producer.join()
        print(f"{PRODUCERS} producers made {PRODUCERS * ORDERS} orders")

        changed = Condition(name="orders")
        with changed:
            (folder / "closed").touch()
            changed.notify_all()
        for consumer in consumers:
            consumer.join()
        handled = [line for journal in journals if journal.exists() for line in journal.read_text().splitlines()]
        twice = "none" if len(set(handled)) == len(handled) else "SOME"
        print(f"{CONSUMERS} consumers handled {len(handled)} orders, {twice} of them twice")
        print("nothing is left" if [file.name for file in folder.iterdir()] == ["closed"] else "SOMETHING IS LEFT")


if __name__ == "__main__":
    main()
