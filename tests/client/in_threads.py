"""Things that happen in another thread while a test waits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.client.fake_elector import BOUND_SECONDS, eventually


class InThread:
    """Starts at once; `result` waits for the end."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act
        self._results: list[Any] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._act())
        except BaseException as error:  # noqa: BLE001
            self._error = error

    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(BOUND_SECONDS)
        assert self.is_over(), "it goes on"
        if self._error is not None:
            raise self._error
        return self._results[0]


@contextmanager
def interrupted_when(condition: Callable[[], object]) -> Iterator[None]:
    """Interrupt the main thread when a condition becomes true."""

    def run() -> None:
        if eventually(condition):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
