"""etcd and kube-apiserver as child processes on free ports of the loopback, RBAC on, TLS verified."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.cluster.binaries import Binaries

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
ADMIN_TOKEN: Final = "admin-of-the-tests"
SERVICE_ACCOUNTS_KEY: Final = "service-accounts.key"
TOKENS: Final = "tokens.csv"


class Refused(Exception):
    """The API server refused what the tests set up."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class ControlPlane:
    """One etcd and one API server. `folder` keeps data, certificates and logs."""

    def __init__(self, binaries: Binaries, folder: Path, *, api_flags: Sequence[str] = ()) -> None:
        self.binaries = binaries
        self.folder = folder
        self.port, self.etcd_port, self._peer_port = free_ports(3)
        self._api_flags = api_flags
        self._api: subprocess.Popen[bytes] | None = None
        self._etcd: subprocess.Popen[bytes] | None = None
        self._tls: ssl.SSLContext | None = None
        self.authority = folder / "certificates" / "apiserver.crt"
        self.admin_config = folder / "admin.kubeconfig"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start both, and wait until the API server is ready."""
        self._make_keys()
        self.start_etcd()
        self.start_api()
        self.write_kubeconfig(self.admin_config, "default", token=ADMIN_TOKEN)

    def stop(self) -> None:
        """The API server first: without etcd, its SIGTERM does not end it."""
        for process in (self._api, self._etcd):
            if process is not None:
                end(process)
        self._api = self._etcd = None

    @contextlib.contextmanager
    def twin(self, folder: Path) -> Iterator[ControlPlane]:
        """Another API server on the same etcd, as where they are replicated: it trusts the same tokens."""
        folder.mkdir()
        twin = ControlPlane(self.binaries, folder, api_flags=self._api_flags)
        twin.etcd_port = self.etcd_port
        for shared in (SERVICE_ACCOUNTS_KEY, TOKENS):
            shutil.copy(self.folder / shared, folder / shared)
        try:
            twin.start_api()
            yield twin
        finally:
            twin.stop()

    def start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        self._etcd = self._spawn(
            "etcd",
            [
                *(str(self.binaries.etcd), "--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}"),
            ],
        )

    def start_api(self) -> None:
        key = str(self.folder / SERVICE_ACCOUNTS_KEY)
        self._api = self._spawn(
            "kube-apiserver",
            [
                *(str(self.binaries.apiserver), f"--etcd-servers=http://127.0.0.1:{self.etcd_port}"),
                *(f"--secure-port={self.port}", "--bind-address=127.0.0.1", f"--cert-dir={self.authority.parent}"),
                *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"),
                *(f"--service-account-signing-key-file={key}", f"--token-auth-file={self.folder / TOKENS}"),
                *("--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"),
                "--endpoint-reconciler-type=none",
                "--etcd-compaction-interval=0",  # the recorder reads the whole history
                *self._api_flags,
            ],
        )
        self.wait_until_ready()

    def signal_api(self, number: signal.Signals) -> None:
        assert self._api is not None
        self._api.send_signal(number)

    def signal_etcd(self, number: signal.Signals) -> None:
        assert self._etcd is not None
        self._etcd.send_signal(number)

    def kill_api(self) -> None:
        self.signal_api(signal.SIGKILL)
        assert self._api is not None
        self._api.wait(STOP_SECONDS)

    def kill_etcd(self) -> None:
        self.signal_etcd(signal.SIGKILL)
        assert self._etcd is not None
        self._etcd.wait(STOP_SECONDS)

    def request(
        self, method: str, path: str, body: Any = None, *, token: str = ADMIN_TOKEN, content: str = "application/json"
    ) -> Any:
        """One call, by default as the administrator; the answer as JSON, or Refused."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls(), timeout=30)
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": content}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        parsed = json.loads(text) if text[:1] == b"{" else text.decode()
        if answer.status >= 400:
            raise Refused(answer.status, parsed)
        return parsed

    def kubectl(self, *words: str, config: Path | None = None, stdin: str | None = None) -> str:
        """What kubectl prints, by default for the administrator."""
        command = [str(self.binaries.kubectl), f"--kubeconfig={config or self.admin_config}", *words]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            input=stdin,
            env={"HOME": str(self.folder)},
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def write_kubeconfig(self, path: Path, namespace: str, **user: str) -> None:
        """A kubeconfig of one user, say token=... or tokenFile=..."""
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user", "namespace": namespace}}],
            "current-context": "tests",
        }
        path.write_text(json.dumps(config))

    def tls(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self.authority))
        return self._tls

    def logs(self) -> Mapping[str, str]:
        """The last lines of each process."""
        return {path.name: path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log")}

    def _make_keys(self) -> None:
        key = self.folder / SERVICE_ACCOUNTS_KEY
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (self.folder / TOKENS).write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait_until_ready(self) -> None:
        """Wait until the API server says so."""
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            try:
                if self.request("GET", "/readyz") == "ok":
                    return
            except (OSError, Refused, ssl.SSLError, http.client.HTTPException) as error:
                assert self._api is not None
                if self._api.poll() is not None or time.monotonic() > give_up_at:
                    raise AssertionError(f"the API server does not start: {error}; {self.logs()}") from error
            time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """End one process, whatever state it is in."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
