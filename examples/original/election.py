"""The election example of the original metaparticle library for Python, with its arguments.

    $ python examples/original/election.py
    I am the master
    I am the master no more

It leads for a while, and then shuts the election down. Start it twice: the second one leads when the first is through.
`lost_master` is for a leadership that is lost, not for one that is given up.
"""

from __future__ import annotations

import sys
import threading

from metaparticle_sync import Election


def main(seconds: float) -> None:
    elected = threading.Event()

    def is_master() -> None:
        print("I am the master", flush=True)
        elected.set()

    def lost_master() -> None:
        print("I lost the master", flush=True)

    def run() -> None:
        elected.wait()
        threading.Event().wait(seconds)
        election.shutdown()

    election = Election("test", is_master, lost_master)
    thread = threading.Thread(target=run)
    thread.start()
    election.run()
    thread.join()
    print("I am the master no more", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
