"""Who this elector is across restarts: its place on this machine or in the cluster, and this boot of the machine.

The place is the pair of state folder and port, the pod's UID and port, or, outside a pod, host name and port: whoever
is started there again finds its sessions by it. The boot id says whether a client of the process before can still be
alive.
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
CLUSTER_KEY_CHARACTERS: Final = 30
"""With '-' and the 32 characters of a session id it makes 63, the most that a label's value may have."""

_LINUX_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class NoBootId(Exception):
    """The machine does not tell which boot this is; without it no restarted elector may keep a hold."""


def local_identity(state_dir: Path | None, port: int) -> Identity:
    """The identity of an elector on this machine. Without a state folder nothing can outlive it: it is a fresh one."""
    place = f"{state_dir.resolve()}:{port}" if state_dir else secrets.token_hex()
    key = hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:KEY_CHARACTERS]
    return Identity(owner=owner_text(port), key=key, boot_id=boot_id())


def pod_identity(name: str, uid: str, port: int) -> Identity:
    """The identity of an elector in a pod, whose containers come and go while its UID stays."""
    return Identity(owner=name, key=_cluster_key(f"pod {uid}:{port}"), boot_id=boot_id())


def host_identity(port: int) -> Identity:
    """The identity of an elector on a machine that takes part in a cluster.

    Host names are not unique, and whoever takes another machine's sessions for its own frees its locks. So the key
    contains this boot and this network, in which nobody else has the port. Sessions of before a boot end by themselves.
    """
    this_boot = boot_id()
    place = f"host {socket.gethostname()}:{port} {this_boot} {_network()}"
    return Identity(owner=owner_text(port), key=_cluster_key(place), boot_id=this_boot)


def _cluster_key(place: str) -> str:
    return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:CLUSTER_KEY_CHARACTERS]


def _network() -> int:
    """The network namespace: two containers of one machine may have the same host name and port."""
    try:
        return Path("/proc/self/ns/net").stat().st_ino
    except OSError:
        return 0


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
