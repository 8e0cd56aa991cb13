"""The only clock that deadlines are measured on."""

from __future__ import annotations

import time
from typing import Final

_BOOT_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Runs on while the machine is suspended. macOS has no such clock; its MONOTONIC runs on in sleep."""


def now() -> float:
    """Seconds since the machine started; never steps and never stops."""
    return time.clock_gettime(_BOOT_CLOCK)
