"""How gunicorn is run: one worker, sockets that are bound already, and no more features than that.

main ──> arbiter (master) ──fork──> worker: load() makes elector and application, uvicorn serves
             │ SIGCHLD: fork again     ──> the new worker adopts the session of the one before
             └ SIGTERM, SIGINT, SIGHUP, SIGQUIT: stop the worker, exit
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
from typing import Any, Final, NoReturn

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from elector_server.announcement import announcement, store_text
from elector_server.app import create_app, create_elector, preload
from elector_server.config import Settings
from elector_server.elector import Elector
from elector_server.front import Front
from elector_server.identity import NoBootId
from elector_server.logs import ServerLog
from elector_server.sockets import BACKLOG, is_wildcard
from elector_server.store import StoreUnavailable
from elector_server.store.identity_lock import IdentityInUse
from elector_server.store.state_folder import StoreConfigurationError
from elector_server.worker import ElectorWorker

log = logging.getLogger("elector")

HANG_SECONDS: Final = 30
"""A worker whose loop does not turn for so long is killed and replaced."""

MASTER_PATIENCE_SECONDS: Final = 2

_PREDECESSOR_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.05
# A worker that could not start says so to its master in gunicorn's numbers, the master to the world in ours.
_STATUS_OF_BOOT_FAILURE: Final = {Arbiter.WORKER_BOOT_ERROR: 1, Arbiter.APP_LOAD_ERROR: 2}
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - gunicorn makes an unlinked file in it


class ElectorApplication(BaseApplication):  # type: ignore[misc]
    """Hands settings and sockets to gunicorn, and makes the elector inside the worker."""

    def __init__(self, settings: Settings, sockets: list[socket.socket]) -> None:
        self._settings = settings
        self._sockets = sockets
        self._ports = [listener.getsockname()[1] for listener in sockets]
        self.elector: Elector | None = None
        super().__init__()

    def load_config(self) -> None:
        """Called by gunicorn's constructor."""
        for name, value in _gunicorn_settings().items():
            if name in self.cfg.settings:  # older gunicorns know fewer, and have less to switch off
                self.cfg.set(name, value)
        self.cfg.set("post_worker_init", self._announce)

    def load(self) -> Front:
        """Called by gunicorn in the worker."""
        self.elector = _elector(self._settings, self._ports[0])
        return create_app(
            self.elector,
            allowed_hosts=_own_names(self._settings),
            health_port=self._ports[1] if len(self._ports) > 1 else None,
            store_text=store_text(self._settings),
        )

    def _announce(self, worker: ElectorWorker) -> None:
        """Called by gunicorn in the worker, when its application is made."""
        if worker.age > 1:
            log.warning("the process that served has ended, this one takes its place")
            return
        for line in announcement(self._settings, self._ports):
            log.info("%s", line)

    def run(self) -> None:
        """Serve until a signal; leaves by SystemExit."""
        preload(self._settings)
        # The worker's garbage collector need not look, again and again, at what was imported before the fork.
        gc.collect()
        gc.freeze()
        arbiter = OneWorkerArbiter(self)
        arbiter.LISTENERS = self._sockets
        arbiter.run()


class OneWorkerArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master with exactly one worker, whatever signal comes. Every way to end is the graceful one."""

    def init_signals(self) -> None:
        """`nohup` is respected."""
        ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        super().init_signals()
        if ignores_hangup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle_term(self) -> NoReturn:
        """What gunicorn's loop takes for "stop gracefully"."""
        raise StopIteration

    handle_int = handle_quit = handle_hup = handle_term

    def handle_usr2(self) -> None:
        """Signals that would change the number of workers or start another master do nothing."""

    handle_ttin = handle_ttou = handle_usr1 = handle_winch = handle_usr2

    def halt(self, reason: str | None = None, exit_status: int = 0) -> NoReturn:  # noqa: ARG002 - gunicorn's
        """Stop the worker and leave. Whoever failed has said why."""
        self.stop()
        sys.exit(_STATUS_OF_BOOT_FAILURE.get(exit_status, exit_status))


def _gunicorn_settings() -> dict[str, Any]:
    return {
        "workers": 1,
        "worker_class": ElectorWorker,
        "logger_class": ServerLog,
        "backlog": BACKLOG,
        "timeout": HANG_SECONDS,
        "graceful_timeout": MASTER_PATIENCE_SECONDS,
        "max_requests": 0,
        "preload_app": False,
        "control_socket_disable": True,
        # gunicorn's sign of life is a file: in memory, where no busy disk delays it and a read-only root has room.
        "worker_tmp_dir": _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None,
        "proc_name": "elector",
    }


def _own_names(settings: Settings) -> tuple[str, ...]:
    return settings.allowed_hosts if is_wildcard(settings.host) else (settings.host, *settings.allowed_hosts)


def _elector(settings: Settings, port: int) -> Elector:
    try:
        return _after_predecessor(settings, port)
    except (StoreConfigurationError, NoBootId) as error:
        log.error("%s", error)
        sys.exit(Arbiter.APP_LOAD_ERROR)
    except IdentityInUse as error:
        log.error("%s", error)
        sys.exit(Arbiter.WORKER_BOOT_ERROR)
    except StoreUnavailable as error:
        log.warning("the store can not be opened, trying again: %s", error)
        sys.exit(1)


def _after_predecessor(settings: Settings, port: int) -> Elector:
    """A killed worker's process may need a moment to go, and its right to the identity goes with it."""
    give_up_at = time.monotonic() + _PREDECESSOR_SECONDS
    while True:
        try:
            return create_elector(settings, port)
        except IdentityInUse:
            if time.monotonic() > give_up_at:
                raise
        time.sleep(_PAUSE_SECONDS)
