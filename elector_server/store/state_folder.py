"""The folder that holds the SQLite file: made if missing, refused with a clear word where it cannot serve."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
SETTING = "--state-dir (ELECTOR_STATE_DIR)"

# SQLite's locks and its shared memory file work between the processes of one machine only. A second machine, or the
# host of a virtual one, would see neither: two holders of one lock.
# fmt: off
NETWORK_FILE_SYSTEMS = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gfs", "gfs2", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb", "smb2", "smb3", "smbfs", "fuse.afp",
    "fuse.blobfuse", "fuse.blobfuse2", "fuse.ceph", "fuse.ceph-fuse", "fuse.cephfs", "fuse.curlftpfs", "fuse.davfs",
    "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.lustre", "fuse.mfs",
    "fuse.moosefs", "fuse.mount-s3", "fuse.quobyte", "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs", "fuse.smbnetfs",
    "fuse.sshfs", "fuse.weed",
})
# fmt: on


class StoreConfigurationError(Exception):
    """A setting of the store that cannot work: which one, its value, what is wrong, and what would be right."""

    def __init__(self, setting: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(f"{setting} is {str(value)!r}: {problem}; {remedy}")
        self.setting = setting
        self.value = value


def prepare_state_folder(folder: Path, *, mounts: Path = MOUNTS) -> None:
    """Make `folder` if it is missing, for this user only, and see that a store may live in it.

    Raises:
        StoreConfigurationError: it cannot be made or written, or lies on a network file system.
    """
    _refuse_network(folder, mounts)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise _unusable(folder, "it is a file, not a folder") from error
    except OSError as error:
        raise _unusable(folder, f"it cannot be made ({error.strerror})") from error
    try:
        # os.access would answer for the real user, and says yes on a file system that is mounted read-only.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unusable(folder, f"user {os.geteuid()} cannot write in it ({error.strerror})") from error


def _unusable(folder: Path, problem: str) -> StoreConfigurationError:
    return StoreConfigurationError(SETTING, folder, problem, "name a folder that this user can make and write")


def _refuse_network(folder: Path, mounts: Path) -> None:
    kind = file_system_of(folder, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        problem = f"it lies on a network or shared file system ({kind}), where SQLite's locks do not hold"
        raise StoreConfigurationError(SETTING, folder, problem, "name a folder on a disk of this machine")


def file_system_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system that `path` lies on, or would; None where the machine does not say."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    resolved = os.path.realpath(path)
    longest, found = -1, None
    for line in lines:
        mount_point, kind = _mount(line)
        # Of two mounts on one point the later one lies on top.
        if _is_below(resolved, mount_point) and len(mount_point) >= longest:
            longest, found = len(mount_point), kind
    return found


def _mount(line: str) -> tuple[str, str]:
    """Mount point and type of one line, whose optional fields end with a lone hyphen (proc(5))."""
    front, _, back = line.partition(" - ")
    fields, kinds = front.split(" "), back.split(" ")
    if len(fields) < 5:
        return "", ""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]), kinds[0]


def _is_below(path: str, mount_point: str) -> bool:
    return mount_point != "" and (path == mount_point or path.startswith(mount_point.rstrip("/") + "/"))
