"""Who this elector is across restarts: its place on this machine, and this boot of the machine.

The pair of state folder and port stands for the elector, as a pod's UID will in a cluster: whoever is started there
again finds its sessions by it. The boot id says whether a client of the process before can still be alive.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import sys
from pathlib import Path
from typing import Final

from elector_server.own_session import Identity

KEY_CHARACTERS: Final = 32
_LINUX_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class NoBootId(Exception):
    """The machine does not tell which boot this is; without it no restarted elector may keep a hold."""


def local_identity(state_dir: Path | None, port: int) -> Identity:
    """The identity of an elector on this machine. Without a state folder nothing can outlive it: it is a fresh one."""
    place = f"{state_dir.resolve()}:{port}" if state_dir else secrets.token_hex()
    key = hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:KEY_CHARACTERS]
    return Identity(owner=owner_text(port), key=key, boot_id=boot_id())


def owner_text(port: int) -> str:
    """The elector's name for people."""
    return f"{socket.gethostname()}:{port}"


def boot_id() -> str:
    """The id of this boot of the machine.

    Raises:
        NoBootId: the system does not say.
    """
    if sys.platform == "darwin":
        return _macos_boot_id()
    try:
        return _LINUX_BOOT_ID.read_text().strip()
    except OSError as error:
        raise NoBootId(
            f"{_LINUX_BOOT_ID} can not be read ({error.strerror}): the elector runs on Linux and macOS, and needs it"
        ) from error


def _macos_boot_id() -> str:
    """Untested: no macOS was at hand."""
    import subprocess  # noqa: PLC0415 - costs 3 ms, and only macOS needs it

    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, text=True, timeout=5)  # noqa: S603 - a fixed command
    except (OSError, subprocess.SubprocessError) as error:
        raise NoBootId(f"{' '.join(command)} failed: {error}") from error
    return answer.stdout.strip()
