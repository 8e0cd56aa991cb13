"""Electors of the image at work: as user 65532, on a read-only root, without a shell, used from outside."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from metaparticle_sync import Lock, wire
from tests.cluster.namespaces import Namespace
from tests.image.conftest import StartElector
from tests.image.container import USER, ContainerElector, Mount, run
from tests.image.unpacked import Unpacked
from tests.processes.running import GENEROUS, KnownProcess

STOP_SECONDS = 1.0
SERVICE_ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture(params=["memory", "sqlite"])
def elector(request: pytest.FixtureRequest, start_elector: StartElector, tmp_path: Path) -> ContainerElector:
    if request.param == "memory":
        return start_elector("--store", "memory")
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, USER, USER)
    return start_elector("--store", "sqlite", "--state-dir", "/state", mounts=(Mount(state, "/state", writable=True),))


def test_the_version(shellless: Unpacked) -> None:
    done = run(shellless, *shellless.run_config["Entrypoint"], "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"elector {wire.VERSION}\n", "")


def test_a_lock_is_taken_through_it(elector: ContainerElector) -> None:
    lock = Lock("orders", base_uri=elector.url)
    with lock:
        record = elector.lock("orders")
        assert record is not None
        assert not Lock("orders", base_uri=elector.url).acquire(blocking=False)
        assert int(record["token"]) == lock.token
    assert elector.is_free("orders")


def test_it_has_its_users_rights_and_no_more(start_elector: StartElector) -> None:
    elector = start_elector("--store", "memory")
    for process in (elector.master, elector.worker):
        status = _status(process)
        assert status["Uid"].split() == status["Gid"].split() == [str(USER)] * 4
        assert status["Groups"].split() == [str(USER)]
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"] == "1"
    assert _status(elector.master)["NSpid"].split()[1:] == ["1"]


def test_its_root_is_read_only(start_elector: StartElector) -> None:
    elector = start_elector("--store", "memory")
    rows = [row.split() for row in Path(f"/proc/{elector.worker.pid}/mountinfo").read_text().splitlines()]
    options = {row[4]: row[5].split(",") for row in rows}
    assert "ro" in options["/"]
    assert [place for place in options if "rw" in options[place]] == ["/dev/shm"]


def test_nothing_can_be_written_in_it(shellless: Unpacked) -> None:
    program = "try: open('/tmp/x', 'w')\nexcept OSError as error: print(error.errno)\nelse: print('written')"
    done = run(shellless, "python", "-c", program)
    assert (done.stdout, done.stderr) == (f"{errno.EROFS}\n", "")


def test_it_has_no_shell_to_start(shellless: Unpacked) -> None:
    """Otherwise these tests would not show that none is needed."""
    program = "import subprocess\ntry: subprocess.run('true', shell=True)\nexcept OSError as error: print(error.errno)"
    assert run(shellless, "python", "-c", program).stdout == f"{errno.ENOENT}\n"


def test_sigterm_ends_it_at_once(elector: ContainerElector) -> None:
    """Process 1 of a container gets only the signals that it handles; a client that stays does not keep it."""
    with Lock("before", base_uri=elector.url):
        pass
    terminated_at = time.monotonic()
    elector.terminate()
    assert elector.exit_code() == 0
    assert time.monotonic() - terminated_at < STOP_SECONDS * GENEROUS
    assert not elector.worker.is_running()


def test_a_lock_is_taken_in_kubernetes_from_inside_a_pod(start_elector: StartElector, namespace: Namespace) -> None:
    elector = start_elector(
        *("--store", "kubernetes"),
        environment=namespace.pod_environ()
        | {"POD_NAME": "web-0", "POD_UID": "0a1b2c3d", "POD_NAMESPACE": namespace.name},
        mounts=(Mount(_readable(namespace.service_account), SERVICE_ACCOUNT),),
    )
    with Lock("orders", base_uri=elector.url) as lock:
        (record,) = namespace.locks()
        assert (record["metadata"]["name"], record["spec"]["owner"]) == ("orders", "web-0")
        assert lock
    assert namespace.locks() == []
    elector.terminate()
    assert elector.exit_code() == 0


def test_a_lock_is_taken_in_kubernetes_by_a_kubeconfig(start_elector: StartElector, namespace: Namespace) -> None:
    folder = namespace.folder / "config"
    folder.mkdir()
    authority = namespace.plane.authority.read_bytes()
    (folder / "ca.crt").write_bytes(authority)
    namespace.plane.write_kubeconfig(folder / "config", namespace.name, token=namespace.token)
    text = (folder / "config").read_text().replace(str(namespace.plane.authority), "/run/config/ca.crt")
    (folder / "config").write_text(text)
    elector = start_elector(
        *("--store", "kubernetes", "--namespace", namespace.name),
        environment={"KUBECONFIG": "/run/config/config"},
        mounts=(Mount(_readable(folder), "/run/config"),),
    )
    with Lock("orders", base_uri=elector.url):
        assert len(namespace.locks()) == 1


def _readable(folder: Path) -> Path:
    """As the kubelet shows it to the pod's user."""
    for path in (folder, *folder.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def _status(process: KnownProcess) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
