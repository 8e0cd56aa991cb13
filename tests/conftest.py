"""What holds for all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Undo what whoever started the tests in the background left behind: signals that children would ignore as well.

    A signal that is handled here is not ignored by children.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
