"""An elector that sees a folder where a pod has its service account: `in_pod_program <folder> <arguments of elector>`.

In a mount namespace of its own, so nobody else on the machine sees it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from elector_server.store.kubernetes_access import SERVICE_ACCOUNT_FOLDER

_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    folder, arguments = sys.argv[1], sys.argv[2:]
    _unshare()
    _mount("none", "/", "", _RECURSIVE | _PRIVATE)
    _mount("none", "/run", "tmpfs", 0)
    where = os.path.realpath(SERVICE_ACCOUNT_FOLDER)
    Path(where).mkdir(parents=True)
    _mount(folder, where, "", _BIND)
    os.execv(sys.executable, [sys.executable, "-m", "elector_server", *arguments])


def _unshare() -> None:
    """Whoever is not root becomes root of a namespace of users."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _check(_libc.unshare(_NEW_MOUNTS))
        return
    _check(_libc.unshare(_NEW_MOUNTS | _NEW_USERS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, None))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
