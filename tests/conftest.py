"""What holds for all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Children that are started under `nohup` would ignore SIGHUP; a signal that is handled here, they do not."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
