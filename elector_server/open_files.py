"""How many more files this process may open. Every waiter is a connection, and heartbeats must never be refused."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from elector_server.clock import Clock

SPARE_FILES: Final = 64
LOOK_SECONDS: Final = 0.25
"""A look lists every open file, so it is not taken for each request."""

# macOS has no /proc, and a container may have no /dev/fd.
_OPEN_FILES_FOLDER: Final = next(filter(Path.is_dir, (Path("/proc/self/fd"), Path("/dev/fd"))))


class OpenFiles:
    """Whether there is room for another waiter."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = float("-inf")
        self._has_room = True

    def has_room(self) -> bool:
        """False while fewer than 64 more files can be opened."""
        now = self._clock.now()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            self._has_room = soft_limit - sum(1 for _ in _OPEN_FILES_FOLDER.iterdir()) >= SPARE_FILES
        return self._has_room
