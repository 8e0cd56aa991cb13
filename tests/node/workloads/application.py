"""The application of the tests' pods: it says in lines of JSON what it believes, and when.

application.py hold NAME       take the lock and keep it; SIGTERM ends the process without a release
application.py insist NAME     the same, but SIGTERM changes nothing
application.py cycle NAME 50   take it and release it, so many times, then end
"""

import json
import os
import signal
import socket
import sys
import time

from metaparticle_sync import Lock


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def say(what, **more):
    print(json.dumps({"at": now(), "what": what, "pod": socket.gethostname(), **more}), flush=True)


def end(*_):
    say("terminated")
    os._exit(143)


def lost(loss):
    say("lost", reason=loss.reason)


def hold(name):
    lock = Lock(name, on_lost=lost)
    say("wants")
    lock.acquire()
    token = lock.token
    say("holds", token=token)
    while True:
        at = now()  # Read before the check: at that moment it is true.
        if not lock.held:
            break
        say("believes", token=token, at=at)
        time.sleep(0.05)
    say("holds no more")
    signal.pause()


def cycle(name):
    lock = Lock(name)
    while True:
        with lock:
            say("holds", token=lock.token)
            time.sleep(0.01)
            say("releases", token=lock.token)


if __name__ == "__main__":
    mode, name = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "insist" else end)
    cycle(name) if mode == "cycle" else hold(name)
