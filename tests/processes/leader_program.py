"""A process that leads, skips or watches: `python -m tests.processes.leader_program <what> <name>`.

It prints a line for whatever happens, and does what the lines of its standard input say.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import Any

from metaparticle_sync import Election, Leadership, current_leadership, leader_only


def say(word: str, **details: Any) -> None:
    print(json.dumps({"word": word, "pid": os.getpid(), **details}), flush=True)


def campaign(name: str) -> None:
    """Take part in an election until the input ends; `resign` gives the office away, `end` ends the callback."""
    may_end = threading.Event()

    def lead(leadership: Leadership) -> None:
        say("leads", token=leadership.token)
        leadership.stopping.wait()
        say("stops", held=leadership.held)
        may_end.wait()
        say("stopped", held=leadership.held)

    election = Election(name, lead, metadata={"pid": os.getpid(), "zones": ["a", "ö"]})
    thread = threading.Thread(target=election.run)
    thread.start()
    for line in sys.stdin:
        if line.strip() == "resign":
            election.resign()
        elif line.strip() == "end":
            may_end.set()
    may_end.set()
    election.shutdown()
    thread.join()


def wait(name: str) -> None:
    """Lead by a decorated function until the input ends."""

    @leader_only(name)
    def lead() -> str:
        say("leads", token=current_leadership().token)
        return sys.stdin.readline()

    lead()
    say("over")


def skip(name: str) -> None:
    """Lead for a moment, or skip."""
    say("result", value=leader_only(name, mode="skip", otherwise="skipped")(lambda: "ran")())


def watch(name: str) -> None:
    """Print each change until the input ends."""
    changes = Election(name).changes()

    def until_the_end() -> None:
        sys.stdin.read()
        changes.close()

    threading.Thread(target=until_the_end, daemon=True).start()
    for leader in changes:
        say("leader", **({"token": leader.token, "metadata": leader.metadata} if leader else {"token": None}))
    say("over")


def cancel(name: str) -> None:
    """Be a candidate in an event loop. A line of input cancels it, another line begins anew, the end of input ends."""

    @leader_only(name)
    async def lead() -> None:
        say("leads", token=current_leadership().token)
        await asyncio.sleep(3600)

    async def main() -> None:
        line = "begin"
        while line:
            leading = asyncio.create_task(lead())
            await asyncio.to_thread(sys.stdin.readline)
            leading.cancel()
            await asyncio.wait([leading])
            say("cancelled", was=leading.cancelled())
            line = await asyncio.to_thread(sys.stdin.readline)

    asyncio.run(main())


if __name__ == "__main__":
    {"campaign": campaign, "wait": wait, "skip": skip, "watch": watch, "cancel": cancel}[sys.argv[1]](sys.argv[2])
