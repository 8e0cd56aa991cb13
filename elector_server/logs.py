"""The elector's log: one line for each event on stderr, as text for people or as JSON for machines.

Everything of ours goes to the logger `elector`. What gunicorn and uvicorn say below WARNING is theirs, not an event.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]

LOGGER: Final = "elector"

_BOOT_FAILURES: Final = ((Arbiter.WORKER_BOOT_ERROR,), (Arbiter.APP_LOAD_ERROR,))


class TextFormatter(logging.Formatter):
    """`2025-01-31T12:00:00.000Z INFO text`, and a traceback below it if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - as the base class has it
        """The base class's hook."""
        return _time_text(record)


class JsonFormatter(logging.Formatter):
    """One JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The base class's hook."""
        line = {
            "time": _time_text(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _time_text(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure(log_format: str) -> None:
    """Send the elector's log to stderr in the chosen format. Calling it again replaces what was there."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class ServerLog(GunicornLogger):  # type: ignore[misc]
    """What gunicorn takes for its log. uvicorn's worker copies these handlers."""

    def setup(self, cfg: object) -> None:
        """Called by gunicorn: our handlers take the place of its own."""
        self.cfg = cfg
        self.loglevel = logging.WARNING
        self._access_log_enabled = False
        self.error_log.handlers = logging.getLogger(LOGGER).handlers
        self.error_log.setLevel(self.loglevel)
        self.access_log.handlers = []

    def error(self, msg: str, *args: object, **kwargs: object) -> None:
        """Not that a worker could not start: it has said why itself."""
        if not (msg.startswith("Worker (pid") and args[-1:] in _BOOT_FAILURES):
            super().error(msg, *args, **kwargs)
