"""What concerns the process as a whole: its name for people, its forks, its end."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Final, Protocol

from metaparticle_sync import wire

_NO_PROGRAM: Final = "python"


class Watched(Protocol):
    """Somebody who has to know of forks and of the end."""

    def after_fork_in_parent(self) -> None:
        """There is a child now that has all that this process had."""

    def after_fork_in_child(self) -> None:
        """This is the child now."""

    def close(self) -> None:
        """The process is about to end."""


_watched: list[Watched] = []


def watch(watched: Watched) -> None:
    """Tell `watched` of each fork and of the end."""
    if not _watched:
        os.register_at_fork(after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
        atexit.register(_at_exit)
    _watched.append(watched)


def description() -> str:
    """Host, process id and program, for people who want to know who holds a lock."""
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""  # noqa: PTH119
    text = f"{os.uname().nodename}:{os.getpid()} {program or _NO_PROGRAM}"
    return text.encode(errors="replace").decode()[: wire.PROCESS_CHARACTERS_MAX]


def _after_fork_in_parent() -> None:
    for watched in _watched:
        watched.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for watched in _watched:
        watched.after_fork_in_child()


def _at_exit() -> None:
    for watched in _watched:
        watched.close()
