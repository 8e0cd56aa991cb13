"""A semaphore: at most three calls of an API at once, however many processes make them.

    $ python examples/api_access.py
    8 processes made 40 calls, never more than 3 at once
    answers: 40 times 200, 0 times 429

The API is somebody else's, and refuses (429) whoever is one too many. A small server plays it here. Take the `with`
away, and see what it says then.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from metaparticle_sync import Semaphore

PROCESSES, CALLS = 8, 5
ALLOWED_AT_ONCE = 3


def work(url: str) -> None:
    """One process. Nothing but the name connects it with the others; in a cluster it would be another pod."""
    places = Semaphore(ALLOWED_AT_ONCE, name="weather-api")
    for _ in range(CALLS):
        with places:
            call(url)


def call(url: str) -> None:
    try:
        urllib.request.urlopen(url).close()
    except urllib.error.HTTPError as refusal:
        refusal.close()


class Api(ThreadingHTTPServer):
    """Answers a few callers at once, and refuses the others."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.answers: Counter[int] = Counter()
        self.at_once = self.at_once_max = 0
        self.mutex = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def answer(self) -> int:
        with self.mutex:
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
            status = 200 if self.at_once <= ALLOWED_AT_ONCE else 429
        time.sleep(0.02)
        with self.mutex:
            self.at_once -= 1
            self.answers[status] += 1
        return status


class Call(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.send_response(self.server.answer())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the server's log is of no interest."""


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with Api() as api:
        threading.Thread(target=api.serve_forever).start()
        callers = [spawn.Process(target=work, args=(api.url,)) for _ in range(PROCESSES)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        api.shutdown()
    kept = api.at_once_max <= ALLOWED_AT_ONCE
    never = "never" if kept else "ONCE"
    print(f"{PROCESSES} processes made {PROCESSES * CALLS} calls, {never} more than {ALLOWED_AT_ONCE} at once")
    print(f"answers: {api.answers[200]} times 200, {api.answers[429]} times 429")


if __name__ == "__main__":
    main()
