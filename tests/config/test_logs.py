from __future__ import annotations

import json
import logging
import re

import pytest

from elector_server.logs import LOGGER, JsonFormatter, ServerLog, TextFormatter, configure


def _record(message: str, *arguments: object, error: Exception | None = None) -> logging.LogRecord:
    trace = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("elector", logging.WARNING, __file__, 1, message, arguments, trace)


def test_text_is_one_line() -> None:
    line = TextFormatter().format(_record("lock %s is lost", "a"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING lock a is lost", line)


def test_json_is_one_object_on_one_line() -> None:
    line = JsonFormatter().format(_record("two\nlines of %s", "ä", error=ValueError("a defect")))
    assert "\n" not in line
    fields = json.loads(line)
    assert (fields["level"], fields["message"]) == ("warning", "two\nlines of ä")
    assert "ValueError: a defect" in fields["traceback"]


@pytest.mark.parametrize(
    ("message", "arguments", "is_told"),
    [
        ("Worker (pid:%s) exited with code %s.", (7, 3), False),
        ("Worker (pid:%s) exited with code %s.", (7, 4), False),
        ("Worker (pid:%s) exited with code %s.", (7, 1), True),
        ("Worker (pid:%s) was sent %s!", (7, "SIGKILL"), True),
        ("Worker (pid:7) was sent SIGKILL!", (), True),
    ],
)
def test_a_worker_that_could_not_start_has_said_why_itself(message, arguments, is_told, capsys) -> None:
    logger = logging.getLogger(LOGGER)
    before = logger.handlers, logger.level, logger.propagate
    try:
        configure("text")
        ServerLog(object()).error(message, *arguments)
    finally:
        logger.handlers, logger.level, logger.propagate = before
        logging.getLogger("gunicorn.error").handlers = []
    assert ("Worker" in capsys.readouterr().err) == is_told
