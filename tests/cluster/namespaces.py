"""A namespace with what deploy/ puts into it, and identities that may do just what its Role allows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from elector_server.store import Spec
from elector_server.store.kubernetes import KubernetesStore
from elector_server.store.kubernetes_access import Access, load_access
from elector_server.store.kubernetes_objects import PLURALS
from tests.cluster.control_plane import ControlPlane, Refused
from tests.stores.harness import LOCK, SESSION
from tests.stores.kinds import EVERYTHING

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
DEFINITIONS: Final = tuple(f"{plural}.metaparticle.io" for plural in PLURALS.values())
LOCKS: Final = "/apis/metaparticle.io/v1/namespaces/{}/locks"
SESSIONS: Final = "/apis/metaparticle.io/v1/namespaces/{}/sessions"

_PATHS: Final = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}
_SYNC_SECONDS: Final = 20.0

_numbers = itertools.count(1)


def install(plane: ControlPlane) -> None:
    """What an administrator does once: the definitions. Waits until they are served."""
    plane.kubectl("apply", *(f"--filename={path}" for path in DEPLOY.glob("crd-*.yaml")))
    plane.kubectl("wait", "--for=condition=Established", "crd", *DEFINITIONS, "--timeout=20s")
    for plural in PLURALS.values():
        until_served(plane, f"/apis/metaparticle.io/v1/{plural}")


def until_served(plane: ControlPlane, path: str, *, refusal: int | None = None, **identity: str) -> None:
    """Wait until a read succeeds, or is no longer refused in one way: what was set up is known everywhere then."""
    give_up_at = time.monotonic() + _SYNC_SECONDS
    while True:
        try:
            plane.request("GET", path, **identity)
            return
        except Refused as refused:
            if refusal is not None and refused.status != refusal:
                return
            if time.monotonic() > give_up_at:
                raise
        time.sleep(0.01)


class Namespace:
    """One namespace of its own, with the Role of deploy/ and its service account."""

    def __init__(self, plane: ControlPlane, folder: Path, name: str | None = None) -> None:
        self.plane = plane
        self.name = name or f"test-{next(_numbers)}-{time.time_ns() % 10**9}"
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.name}})
        for one in _rbac(self.name):
            plane.request("POST", _PATHS[one["kind"]].format(self.name), one)
        self.token = self.new_token()
        self.service_account = self._service_account_folder()
        self._wait_until_allowed()

    def add_account(self, account: str) -> Path:
        """Another service account, bound to nothing but the same Role; its kubeconfig."""
        self.plane.request("POST", _PATHS["ServiceAccount"].format(self.name), {"metadata": {"name": account}})
        self.bind(account)
        token = self.new_token(account=account)
        until_served(self.plane, LOCKS.format(self.name), token=token)
        path = self.folder / f"{account}.kubeconfig"
        self.plane.write_kubeconfig(path, self.name, token=token)
        return path

    def bind(self, account: str) -> None:
        """Give an account the Role of deploy/."""
        binding = next(one for one in _rbac(self.name) if one["kind"] == "RoleBinding")
        binding["metadata"]["name"] = binding["subjects"][0]["name"] = account
        self.plane.request("POST", _PATHS["RoleBinding"].format(self.name), binding)

    def unbind(self, account: str) -> None:
        """Take it away again. The authorizer hears of it a moment later."""
        self.plane.request("DELETE", f"{_PATHS['RoleBinding'].format(self.name)}/{account}")

    def allow_watching_sessions(self) -> None:
        """No elector watches sessions, so no Role allows it; the contract is about every kind alike."""
        rule = {"apiGroups": ["metaparticle.io"], "resources": ["sessions"], "verbs": ["watch"]}
        role = {"metadata": {"name": "contract"}, "rules": [rule]}
        self.plane.request("POST", _PATHS["Role"].format(self.name), role)
        binding = next(one for one in _rbac(self.name) if one["kind"] == "RoleBinding")
        binding["metadata"]["name"] = binding["roleRef"]["name"] = "contract"
        self.plane.request("POST", _PATHS["RoleBinding"].format(self.name), binding)
        path = SESSIONS.format(self.name) + "?watch=1&timeoutSeconds=1&resourceVersion=1"
        until_served(self.plane, path, refusal=403, token=self.token)

    def new_token(self, seconds: int = 3600, account: str = "elector") -> str:
        """A token of a service account, as the kubelet asks for one."""
        answer = self.plane.request(
            "POST",
            f"{_PATHS['ServiceAccount'].format(self.name)}/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}},
        )
        token: str = answer["status"]["token"]
        return token

    def pod_environ(self) -> dict[str, str]:
        """What a pod would have in its environment to find the API server."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.plane.port)}

    def load(self) -> Access:
        """The access of a pod of this namespace."""
        return load_access(self.pod_environ(), self.service_account)

    def store(self) -> KubernetesStore:
        """A store as the elector of a pod makes one."""
        return KubernetesStore(self.load, self.name, self.plane.url)

    def kubeconfig(self) -> Path:
        """The same identity as a file."""
        path = self.folder / "kubeconfig"
        self.plane.write_kubeconfig(path, self.name, tokenFile=str(self.service_account / "token"))
        return path

    def kubeconfig_of(self, twin: ControlPlane) -> Path:
        """The same identity at another API server."""
        path = self.folder / "twin.kubeconfig"
        twin.write_kubeconfig(path, self.name, tokenFile=str(self.service_account / "token"))
        return path

    def locks(self) -> list[dict[str, Any]]:
        """All lock objects, as the administrator sees them."""
        found: list[dict[str, Any]] = self.plane.request("GET", LOCKS.format(self.name))["items"]
        return found

    def sessions(self) -> list[dict[str, Any]]:
        """All session objects, as the administrator sees them."""
        found: list[dict[str, Any]] = self.plane.request("GET", SESSIONS.format(self.name))["items"]
        return found

    def _service_account_folder(self) -> Path:
        folder = self.folder / "serviceaccount"
        folder.mkdir()
        (folder / "token").write_text(self.token + "\n")
        (folder / "namespace").write_text(self.name)
        (folder / "ca.crt").write_bytes(self.plane.authority.read_bytes())
        return folder

    def _wait_until_allowed(self) -> None:
        """The authorizer hears of new roles and bindings a moment later."""
        until_served(self.plane, LOCKS.format(self.name), token=self.token)


def _rbac(namespace: str) -> Iterator[dict[str, Any]]:
    for one in yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text()):
        for subject in one.get("subjects", ()):
            subject["namespace"] = namespace
        yield one


class KubernetesHarness:
    """The contract's way to this store: each set of records is a namespace."""

    durable = True

    def __init__(self, namespace: Namespace) -> None:
        namespace.allow_watching_sessions()
        self._namespace = namespace

    async def open(self) -> KubernetesStore:
        return self._namespace.store()

    def spec(self, number: int, kind: str = LOCK) -> Spec:
        if kind in {LOCK, SESSION}:
            return {"owner": f"pod-{number}", "epoch": 1, "lease_seconds": 20.0}
        return EVERYTHING[kind](number)

    def odd_specs(self) -> tuple[Spec, ...]:
        return (
            {"owner": ""},
            {"owner": "\x00 \n \" ' \\ ; -- é e\u0301 😀 \u2028", "process": "x" * 256},
            {"owner": "o", "epoch": 2**63 - 1, "lease_seconds": 0.1, "legacy": True, "token": "9" * 40},
            {"owner": "o" * 1024, "queue": [_ticket(number) for number in range(1000)]},
        )

    def held_by_watches(self, store: KubernetesStore) -> object:
        return repr(store).rpartition(", ")[2]


def _ticket(number: int) -> dict[str, Any]:
    return {"holder": f"{number:032x}", "session": f"s-{number}", "epoch": 1, "lease_seconds": 20.0, "owner": "pod"}
