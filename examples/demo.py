"""What `make demo` shows: processes that share one counter file under one lock, and one of them is killed.

An elector is started for the occasion, on a free port and with a state folder of its own. The workers are this same
program: `demo.py worker ...`. Each adds one to the counter in the careless way, which needs a lock: read the file, work
for a while, write the file. At the end every update must be there. Exit status 1 if anything was not as promised.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from metaparticle_sync import Lock

NAMES = ("ada", "ben", "cat", "dan")
TURNS = 6
WORK_SECONDS = 0.25
VICTIM, FATAL_TURN = "cat", 3
TAKEOVER_SECONDS_MAX = 1.0
WHOLE_SECONDS_MAX = 50

COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ
GREEN, RED, BOLD = "32", "1;31", "1"


class DemoError(Exception):
    """Something that the demo was to show did not happen."""


def now() -> float:
    """Seconds on the one clock that all processes of a machine share."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


# The workers --------------------------------------------------------------------------------------------------------


def work(name: str, counter: Path) -> None:
    """One process: it takes the lock again and again, and adds one to the counter each time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the demo, which ends its workers.
    lock = Lock("demo")
    for turn in range(1, TURNS + 1):
        say("waits", name)
        with lock:
            number = int(counter.read_text())
            say("holds", name, token=lock.token, counter=number)
            time.sleep(WHOLE_SECONDS_MAX if (name, turn) == (VICTIM, FATAL_TURN) else WORK_SECONDS)
            counter.write_text(str(number + 1))
            say("leaves", name)
    say("ends", name)


def say(what: str, name: str, **more: int) -> None:
    """Tell the demo, in one line."""
    line = json.dumps({"at": now(), "what": what, "name": name, **more})
    os.write(sys.stdout.fileno(), line.encode() + b"\n")


# What happened ------------------------------------------------------------------------------------------------------


class Story:
    """What the workers said so far, told to the reader line by line, and kept for the end."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._began = now()
        self._waiting: list[str] = []
        self._left: tuple[float, str, frozenset[str]] | None = None
        self.holder: str | None = None
        self.turns = dict.fromkeys(NAMES, 0)
        self.updates = 0
        self.overlaps = 0
        self.tokens: list[int] = []
        self.hand_offs: list[float] = []
        self.killed_at: float | None = None
        self.heir = ""
        self.takeover_seconds: float | None = None
        self.ended: set[str] = set()

    def tell(self, event: dict[str, Any]) -> None:
        """One line of a worker."""
        name = event["name"]
        if event["what"] == "waits":
            self._waiting.append(name)
        elif event["what"] == "holds":
            self._holds(name, event["at"], event["token"], event["counter"])
        elif event["what"] == "leaves":
            self.updates += 1
            self.holder = None
            self._left = event["at"], name, frozenset(self._waiting)
        else:
            self.ended.add(name)

    def tell_kill(self, at: float) -> None:
        """The victim, which holds, has been killed."""
        self.killed_at, self.holder = at, None
        who = f"{VICTIM} {self._pids[VICTIM]}"
        show(f"{at - self._began:6.2f}s  {who:<11}  is killed (SIGKILL) in the middle of its update", RED)

    def _holds(self, name: str, at: float, token: int, counter: int) -> None:
        self.overlaps += self.holder is not None
        self.holder = name
        self.turns[name] += 1
        self._waiting.remove(name)
        self.tokens.append(token)
        who, hand_off, waiting = f"{name} {self._pids[name]}", self._hand_off(name, at), " ".join(self._waiting)
        show(f"{at - self._began:6.2f}s  {who:<11}  {token:<16}  {hand_off:<18}  {counter:>7}  {waiting}".rstrip())

    def _hand_off(self, name: str, at: float) -> str:
        """How the lock came to this holder: from the moment before the release to the first statement under it."""
        if self.killed_at is not None and self.takeover_seconds is None:
            self.heir, self.takeover_seconds = name, at - self.killed_at
            return f"{milliseconds(self.takeover_seconds)} after kill"
        if self._left is None or name not in self._left[2]:
            return "it was free"
        self.hand_offs.append(at - self._left[0])
        return f"{milliseconds(self.hand_offs[-1])} after {self._left[1]}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def show(text: str, colour: str = "") -> None:
    print(f"\033[{colour}m{text}\033[0m" if colour and COLOURED else text, flush=True)


def findings(story: Story, number: int) -> Iterator[tuple[bool, str]]:
    """Each thing that was to be shown: whether it was, and what was seen."""
    expected = len(NAMES) * TURNS - (TURNS - FATAL_TURN + 1)
    loss = "no update was lost" if number == story.updates else f"{story.updates - number} UPDATES WERE LOST"
    made = f"{story.updates} of {expected} updates were made, the counter says {number}: {loss}"
    yield number == story.updates == expected, made
    yield story.overlaps == 0, f"{len(story.tokens)} holds, never two at a time"
    yield story.tokens == sorted(set(story.tokens)), "each token is larger than the one before"
    if story.takeover_seconds is None:
        yield False, f"{VICTIM} was killed while it held, and nobody got the lock"
    else:
        took = milliseconds(story.takeover_seconds)
        promised = f"promised: {TAKEOVER_SECONDS_MAX:g} s"
        passed = story.takeover_seconds <= TAKEOVER_SECONDS_MAX
        yield passed, f"{VICTIM} was killed while it held, {story.heir} held {took} later ({promised})"
    yield story.ended == {*NAMES} - {VICTIM}, "the other processes finished all their turns"


# The run ------------------------------------------------------------------------------------------------------------


def run(folder: Path, started: list[subprocess.Popen[bytes]]) -> bool:
    """The whole show. Whatever it starts goes into `started`. True if everything was as promised."""
    counter = folder / "counter"
    counter.write_text("0")
    show(f"{len(NAMES)} processes add to one counter file, each {TURNS} times, under one lock named 'demo'.", BOLD)
    show("One of them will be killed while it holds the lock.")
    url = start_elector(folder, started)
    show(f"Their elector is process {started[0].pid} at {url}, with a SQLite store.\n")
    story = follow(*start_workers(url, counter, started))
    return conclude(story, int(counter.read_text()))


def start_elector(folder: Path, started: list[subprocess.Popen[bytes]]) -> str:
    """Start an elector on a free port, and return its address."""
    log = folder / "elector.log"
    command = [sys.executable, "-m", "elector_server", "--port", "0", "--health-port", "0"]
    command += ["--state-dir", str(folder / "state")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ELECTOR_")}
    with log.open("wb") as output:
        elector = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    started.append(elector)
    while elector.poll() is None:
        if found := re.search(r"serves (http://\S+?),", log.read_text()):
            return found[1]
        time.sleep(0.01)
    raise DemoError(f"the elector did not start; it said:\n{log.read_text()}")


def start_workers(
    url: str, counter: Path, started: list[subprocess.Popen[bytes]]
) -> tuple[dict[str, subprocess.Popen[bytes]], int]:
    """Start the workers. All write into one pipe, whose other end is returned, so their lines keep their order."""
    source, sink = os.pipe()
    workers = {}
    for name in NAMES:
        command = [sys.executable, __file__, "worker", name, str(counter)]
        workers[name] = subprocess.Popen(command, stdout=sink, env={**os.environ, "METAPARTICLE_SYNC_URL": url})
        started.append(workers[name])
    os.close(sink)
    return workers, source


def follow(workers: dict[str, subprocess.Popen[bytes]], source: int) -> Story:
    """Tell what happens until all workers have ended, and kill the victim in its fatal turn."""
    story = Story({name: worker.pid for name, worker in workers.items()})
    show(f"{'time':>7}  {'holds':<11}  {'token':<16}  {'hand-off':<18}  {'counter':>7}  waiting", BOLD)
    with os.fdopen(source, encoding="utf-8") as lines:
        for line in lines:
            story.tell(json.loads(line))
            if story.killed_at is None and story.holder == VICTIM and story.turns[VICTIM] == FATAL_TURN:
                time.sleep(WORK_SECONDS / 2)
                killed_at = now()
                workers[VICTIM].send_signal(signal.SIGKILL)
                story.tell_kill(killed_at)
    return story


def conclude(story: Story, number: int) -> bool:
    """Say what was seen; True if all of it was right."""
    show("")
    found = list(findings(story, number))
    for passed, text in found:
        show(f"  {'ok' if passed else 'WRONG':<5}  {text}", GREEN if passed else RED)
    if story.hand_offs:
        median, slowest = milliseconds(statistics.median(story.hand_offs)), milliseconds(max(story.hand_offs))
        show(f"\nHand-off from one process to the next: median {median}, slowest {slowest}.")
    return all(passed for passed, _ in found)


def main() -> int:
    signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGTERM, give_up)
    signal.alarm(WHOLE_SECONDS_MAX)
    folder = Path(tempfile.mkdtemp(prefix="metaparticle-sync-demo-"))
    started: list[subprocess.Popen[bytes]] = []
    try:
        return 0 if run(folder, started) else 1
    except (DemoError, KeyboardInterrupt) as error:
        print(f"demo: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    finally:
        signal.alarm(0)
        for process in reversed(started):
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def give_up(number: int, _: object) -> NoReturn:
    raise DemoError(f"it is not over after {WHOLE_SECONDS_MAX} s" if number == signal.SIGALRM else "it was terminated")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(main())
