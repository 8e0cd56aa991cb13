"""The process that serves: uvicorn under gunicorn, made to stop within two seconds and never to outlive its master.

    SIGTERM, SIGINT, SIGQUIT
    ──> elector.begin_stop: parked requests and streams end now
    ──> uvicorn: no new connection, idle ones closed, answers under way finished
    ──> elector.stop: what the store has to know
    ──> exit; whatever of it hangs is cut off by SIGALRM

The process may end at any of these steps, as in a crash: the next one adopts what it left.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar, Final

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from elector_server.protocol import LeanProtocol
from metaparticle_sync import wire

log = logging.getLogger("elector")

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than any client's pause between two heartbeats."""

ANSWERS_SECONDS: Final = 0.4
"""From the signal: how long the answers under way may take; what waits has been told by then."""

LINGER_SECONDS: Final = 0.4
"""After that: how long connections whose peer reads nothing may take to close."""

STOP_SECONDS: Final = 1.8
"""From the signal to the process's end, whatever hangs. It may end at any instant, as in a crash."""

_WATCH_SECONDS: Final = 0.5
_PR_SET_PDEATHSIG: Final = 1


class ElectorWorker(UvicornWorker):  # type: ignore[misc]
    """The one worker."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "auto",
        "http": LeanProtocol,
        "ws": "none",
        "lifespan": "on",
        "interface": "asgi3",
        "access_log": False,
        # X-Forwarded-For must not change the peer that the elector sees: its address is part of a proof of death.
        "proxy_headers": False,
        "server_header": False,
        "headers": [("server", f"metaparticle-elector/{wire.VERSION}")],
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": ANSWERS_SECONDS + LINGER_SECONDS,
    }

    def init_process(self) -> None:
        """Run until told to stop."""
        die_with_master(self.ppid)
        super().init_process()

    def init_signals(self) -> None:
        """A terminal's hang-up goes to master and worker; the master decides."""
        super().init_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = StoppingServer(self.config, self.app.elector.begin_stop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None)
        watch = asyncio.ensure_future(_watch_master(self.ppid))
        await server.serve(sockets=self.sockets)
        watch.cancel()
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


class StoppingServer(Server):
    """uvicorn's server, which ends what would wait before it waits for it."""

    def __init__(self, config: Any, begin_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._begin_stop = begin_stop
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, _signal: int, _frame: FrameType | None) -> None:
        """The signal to stop. A second one changes nothing."""
        if self.should_exit:
            return
        self.should_exit = True
        signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)
        # A signal handler runs between any two steps of the loop's own code, so the rest is left to the loop.
        self._loop.call_soon_threadsafe(self._stop_waiting)

    def _stop_waiting(self) -> None:
        log.info("stopping: waiting requests and streams end now")
        self._begin_stop()
        self._loop.call_later(ANSWERS_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        """End the requests that are still not over: `Front` answers them with 503."""
        for task in list(self.server_state.tasks):
            task.cancel()


def die_with_master(master: int) -> None:
    """See that this process does not go on serving, and holding the port, when its master is killed."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only this needs it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != master:
        os.kill(os.getpid(), signal.SIGKILL)


async def _watch_master(master: int) -> None:
    """The same, where the kernel does not do it. Nothing tells of a parent's end, so it is looked at."""
    while os.getppid() == master:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
