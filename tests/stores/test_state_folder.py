"""Where a store may live, and that only one process runs under an identity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from elector_server.store.identity_lock import IdentityInUse, IdentityLock
from elector_server.store.state_folder import (
    NETWORK_FILE_SYSTEMS,
    StoreConfigurationError,
    file_system_of,
    prepare_state_folder,
)

PROJECT = Path(__file__).parents[2]

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:40 / /data rw,relatime shared:1 - nfs4 server:/data rw,vers=4.2
31 30 254:1 / /data/local rw,relatime shared:2 master:3 - xfs /dev/vdb rw
32 27 0:41 / /with\040space rw - cifs //server/share rw
33 27 0:42 / /over rw - ext4 /dev/vdc rw
34 27 0:43 / /over rw - fuse.sshfs me@server: rw
not a line of this file
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTS)
    return file


class TestFileSystem:
    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/", "ext4"),
            ("/home/me", "ext4"),
            ("/data", "nfs4"),
            ("/data/state", "nfs4"),
            ("/data/x/../state", "nfs4"),
            ("/data/local/state", "xfs"),
            ("/data/localized", "nfs4"),
            ("/database", "ext4"),
            ("/with space/state", "cifs"),
            ("/over/state", "fuse.sshfs"),
        ],
    )
    def test_the_longest_mount_point_counts(self, mounts: Path, path: str, kind: str) -> None:
        assert file_system_of(Path(path), mounts) == kind

    def test_a_link_is_followed(self, mounts: Path, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to("/data")
        assert file_system_of(link / "state", mounts) == "nfs4"

    def test_a_machine_that_does_not_say_is_no_error(self, tmp_path: Path) -> None:
        assert file_system_of(Path("/"), tmp_path / "missing") is None
        prepare_state_folder(tmp_path / "state", mounts=tmp_path / "missing")

    def test_this_machine_says(self, tmp_path: Path) -> None:
        assert file_system_of(tmp_path) is not None

    @pytest.mark.parametrize("kind", sorted(NETWORK_FILE_SYSTEMS))
    def test_a_network_file_system_is_refused_before_anything_is_made(self, tmp_path: Path, kind: str) -> None:
        mounts = tmp_path / "mountinfo"
        mounts.write_text(f"27 1 254:0 / / rw - {kind} server:/ rw\n")
        with pytest.raises(StoreConfigurationError, match=f"network or shared file system \\({kind}\\)") as caught:
            prepare_state_folder(tmp_path / "state", mounts=mounts)
        assert "a disk of this machine" in str(caught.value)
        assert not (tmp_path / "state").exists()


class TestFolder:
    def test_it_is_made_with_its_parents(self, tmp_path: Path) -> None:
        prepare_state_folder(tmp_path / "a" / "b")
        prepare_state_folder(tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []

    def test_a_file_in_its_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(StoreConfigurationError, match=r"it is a file|cannot be made"):
                prepare_state_folder(folder)

    # Nobody, not even root, can write there.
    @pytest.mark.parametrize(
        ("folder", "problem"), [("/proc/state", "cannot be made"), ("/proc", "cannot write in it")]
    )
    def test_one_that_cannot_be_written_is_refused(self, folder: str, problem: str) -> None:
        with pytest.raises(StoreConfigurationError, match=problem) as caught:
            prepare_state_folder(Path(folder))
        assert folder in str(caught.value)
        assert "name a folder that this user can make and write" in str(caught.value)


HOLD = """
import sys
from pathlib import Path
from elector_server.store.identity_lock import IdentityLock
lock = IdentityLock(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


class TestIdentity:
    def test_another_process_is_refused_until_the_holder_is_gone(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", HOLD, str(tmp_path), "me"]
        holder = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(IdentityInUse, match=f"already runs as 'me'.*process {holder.pid}"):
            IdentityLock(tmp_path, "me")
        IdentityLock(tmp_path, "somebody else").release()
        holder.kill()
        holder.communicate(timeout=30)
        with IdentityLock(tmp_path, "me") as lock:
            assert repr(lock) == "<IdentityLock 'me' held>"
        assert repr(lock) == "<IdentityLock 'me' released>"

    def test_it_can_be_taken_again_after_release(self, tmp_path: Path) -> None:
        for _ in range(3):
            lock = IdentityLock(tmp_path, "me")
            with pytest.raises(IdentityInUse):
                IdentityLock(tmp_path, "me")
            lock.release()
            lock.release()

    def test_odd_identities_do_not_collide(self, tmp_path: Path) -> None:
        identities = ["127.0.0.1:13131", "/var/lib", "a/b", "a%2Fb", "..", ".", "é", "a b"]
        locks = [IdentityLock(tmp_path, identity) for identity in identities]
        assert len(list(tmp_path.iterdir())) == len(identities)
        for lock in locks:
            lock.release()

    def test_a_folder_that_cannot_be_written_is_a_wrong_setting(self) -> None:
        with pytest.raises(StoreConfigurationError, match="--state-dir"):
            IdentityLock(Path("/proc"), "me")
