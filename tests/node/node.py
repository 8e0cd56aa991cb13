"""A cluster of one node: control plane, scheduler, controllers, container runtime, kubelet. Inside a box only."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.cluster.binaries import NodeBinaries
from tests.cluster.control_plane import ADMIN_TOKEN, ControlPlane
from tests.node import images as node_images
from tests.node import keys
from tests.node.box import cgroup_name
from tests.node.inside import BRIDGE, GATEWAY, SERVICE

NAME: Final = "node-1"

RUNTIME_SOCKET: Final = "/run/containerd/containerd.sock"

_PATIENCE_SECONDS: Final = 120.0
_CONFIGURATION: Final = Path(__file__).parent / "configuration"
_USERS: Final = {
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NAME}", "system:nodes"),
}


class Node(ControlPlane):
    """A whole cluster. Inside the box its ports are nobody else's, so the API server has the usual one."""

    def __init__(self, binaries: NodeBinaries, folder: Path, images: Sequence[Path]) -> None:
        super().__init__(binaries.control_plane, folder)
        self.port = 443
        self.node_binaries = binaries
        self.images = images
        self.keys = folder / "keys"
        self.authority = self.keys / "ca.crt"
        self.pod_logs = Path("/var/log/pods")
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start everything, and wait until pods can be made."""
        for name in ("keys", "configuration", "containerd", "kubelet", "temporary"):
            (self.folder / name).mkdir()
        self._make_keys()
        self._make_configuration()
        self._start_runtime()
        self.start_etcd()
        self.start_api()
        self.write_kubeconfig(self.admin_config, "default", token=ADMIN_TOKEN)
        self._start_controllers()
        self._import_images()
        self._start_kubelet()
        _until(self._is_ready, "the node is ready", self.logs)
        _until(self._has_service_account, "pods can be made", self.logs)

    def stop(self) -> None:
        """Kill it: nothing of it is needed any more, and an API server waits long for those who watch."""
        for process in (*self._processes, self._api, self._etcd):
            if process is not None:
                process.kill()
                process.wait()
        self._processes.clear()
        self._api = self._etcd = None

    def start_api(self) -> None:
        key = str(self.keys / "service-accounts.key")
        kubelet_client = self.keys / "kubelet-client"
        self._api = self._spawn(
            "kube-apiserver",
            [
                *(str(self.binaries.apiserver), f"--etcd-servers=http://127.0.0.1:{self.etcd_port}"),
                *(f"--secure-port={self.port}", "--bind-address=0.0.0.0", f"--advertise-address={GATEWAY}"),
                *(f"--tls-cert-file={self.keys / 'api.crt'}", f"--tls-private-key-file={self.keys / 'api.key'}"),
                *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"),
                *(f"--service-account-signing-key-file={key}", f"--token-auth-file={self.folder / 'tokens.csv'}"),
                *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
                *("--service-cluster-ip-range=10.0.0.0/24", f"--client-ca-file={self.authority}"),
                *(f"--kubelet-certificate-authority={self.authority}", "--kubelet-preferred-address-types=InternalIP"),
                *(f"--kubelet-client-certificate={kubelet_client}.crt", f"--kubelet-client-key={kubelet_client}.key"),
                f"--cert-dir={self.folder / 'temporary'}",
            ],
        )
        self.wait_until_ready()

    @contextlib.contextmanager
    def without_kubelet(self) -> Iterator[None]:
        """Nothing that dies is started again, and nothing is stopped, until the end of this."""
        kubelet = self._processes[-1]
        kubelet.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            kubelet.send_signal(signal.SIGCONT)

    def runtime(self, *words: str) -> str:
        """What containerd's own command says about the containers."""
        command = ["ctr", "--address", RUNTIME_SOCKET, "--namespace", "k8s.io", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def _make_keys(self) -> None:
        keys.make_authority(self.keys)
        names = f"IP:127.0.0.1,IP:{GATEWAY},IP:{SERVICE},DNS:kubernetes.default.svc"
        keys.make_certificate(self.keys, "api", "/CN=kube-apiserver", f"subjectAltName={names}")
        keys.make_certificate(self.keys, "kubelet", f"/CN={NAME}", f"subjectAltName=IP:{GATEWAY},DNS:{NAME}")
        who = "/O=system:masters/CN=kube-apiserver"
        keys.make_certificate(self.keys, "kubelet-client", who, "extendedKeyUsage=clientAuth")
        key = self.keys / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)

    def _make_configuration(self) -> None:
        lines = [f'{ADMIN_TOKEN},admin,admin,"system:masters"']
        for program, (user, group) in _USERS.items():
            token = secrets.token_hex(16)
            lines.append(f"{token},{user},{user}" + (f',"{group}"' if group else ""))
            self.write_kubeconfig(self._config(program), "default", token=token)
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        network = self.folder / "network"
        network.mkdir()
        (network / "10-pods.conflist").write_text(json.dumps(_network()))
        self._fill("containerd.toml", folder=self.folder, pause=node_images.PAUSE, socket=RUNTIME_SOCKET)
        self._fill("kubelet.yaml", keys=self.keys, address=GATEWAY, socket=RUNTIME_SOCKET, cgroup=f"/{cgroup_name()}")

    def _config(self, program: str) -> Path:
        return self.folder / "configuration" / f"{program}.kubeconfig"

    def _fill(self, name: str, **values: object) -> None:
        text = (_CONFIGURATION / name).read_text()
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        (self.folder / "configuration" / name).write_text(text)

    def _start_runtime(self) -> None:
        config = str(self.folder / "configuration" / "containerd.toml")
        self._processes.append(self._spawn("containerd", ["containerd", "--config", config]))

    def _import_images(self) -> None:
        _until(self._runtime_answers, "containerd answers", self.logs)
        for image in self.images:
            self.runtime("images", "import", str(image))

    def _start_controllers(self) -> None:
        for program, *flags in (
            (
                "kube-controller-manager",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={self.keys / 'service-accounts.key'}",
                f"--root-ca-file={self.authority}",
            ),
            ("kube-scheduler",),
        ):
            path = self.node_binaries.controller_manager if flags else self.node_binaries.scheduler
            shared = ("--leader-elect=false", "--bind-address=127.0.0.1", f"--cert-dir={self.folder / 'temporary'}")
            words = [str(path), f"--kubeconfig={self._config(program)}", *shared, *flags]
            self._processes.append(self._spawn(program, words))

    def _start_kubelet(self) -> None:
        words = [
            *(str(self.node_binaries.kubelet), f"--config={self.folder / 'configuration' / 'kubelet.yaml'}"),
            *(f"--kubeconfig={self._config('kubelet')}", f"--root-dir={self.folder / 'kubelet'}"),
            *(f"--hostname-override={NAME}", f"--node-ip={GATEWAY}"),
        ]
        self._processes.append(self._spawn("kubelet", words))

    def _runtime_answers(self) -> bool:
        with contextlib.suppress(AssertionError):
            return bool(self.runtime("version"))
        return False

    def _is_ready(self) -> bool:
        nodes: list[dict[str, Any]] = self.request("GET", "/api/v1/nodes")["items"]
        conditions = (one for node in nodes for one in node["status"].get("conditions", ()))
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _has_service_account(self) -> bool:
        accounts = self.request("GET", "/api/v1/namespaces/default/serviceaccounts")["items"]
        return any(one["metadata"]["name"] == "default" for one in accounts)


def _network() -> dict[str, Any]:
    pods = {"subnet": "10.244.0.0/24", "rangeStart": "10.244.0.10", "rangeEnd": "10.244.0.250"}
    addresses: dict[str, Any] = {"type": "host-local", "dataDir": "/run/pod-addresses", "ranges": [[pods]]}
    addresses["routes"] = [{"dst": "0.0.0.0/0"}]
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def _until(condition: Callable[[], bool], what: str, evidence: Callable[[], Any]) -> None:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {_PATIENCE_SECONDS:g} s: {what}; {evidence()}"
        time.sleep(0.1)
