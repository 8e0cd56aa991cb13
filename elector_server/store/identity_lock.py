"""One elector process per identity: an exclusive lock on a file beside the store.

The kernel frees it when its process ends, however that happens. A child made by `fork` alone shares it and would keep
it alive: take it in the process that runs the elector, after the last fork.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from elector_server.store.state_folder import SETTING, StoreConfigurationError


class IdentityInUse(Exception):
    """Another process runs under this identity on this store."""


class IdentityLock:
    """The exclusive right to run under one identity, from construction to `release`.

    Raises:
        IdentityInUse: another process has it; the message names that process.
        StoreConfigurationError: the lock file cannot be made in the state folder.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._identity = identity
        # Quoted, so that an identity such as an address with a port or a path names one file in this folder.
        self._path = folder / f"{quote(identity, safe='')}.lock"
        self._descriptor: int | None = _opened(self._path)
        try:
            self._lock(self._descriptor)
        except BaseException:
            self.release()
            raise

    def __repr__(self) -> str:
        return f"<IdentityLock {self._identity!r} {'released' if self._descriptor is None else 'held'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let others run under this identity. The file stays: removing it would let two processes lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise IdentityInUse(
                f"an elector already runs as {self._identity!r} on this store: process {holder}, lock {self._path}"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreConfigurationError(
            SETTING,
            path.parent,
            f"the lock file {path.name} cannot be made in it ({error.strerror})",
            "name a folder that this user can write",
        ) from error
