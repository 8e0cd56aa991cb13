"""One leader at a time: start this in several terminals, then end the leader in any way you like.

    python examples/leader.py

Ctrl-C and SIGTERM make it stand down first, so that the next one leads at once; kill -9 works just as well.
"""

from __future__ import annotations

import os
import signal

from metaparticle_sync import Election, Leadership, LockLost

ME = f"process {os.getpid()}"


def lead(leadership: Leadership) -> None:
    """Act as the leader until told to stop; nobody else leads before this returns."""
    print(f"{ME} leads, token {leadership.token}", flush=True)
    while not leadership.stopping.wait(2.0):
        print(f"{ME} still leads", flush=True)
    print(f"{ME} stands down", flush=True)


def lost(loss: LockLost) -> None:
    """Called if the leadership is lost. Another process may lead already, so the work must have stopped by itself."""
    print(f"{ME} leads no more: {loss.reason}", flush=True)


def main() -> None:
    election = Election("leader-example", lead, lost)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: election.shutdown())
    print(f"{ME} campaigns", flush=True)
    election.run()


if __name__ == "__main__":
    main()
