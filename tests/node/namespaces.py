"""A namespace as a user sets one up: the restricted profile enforced, deploy/ applied, workloads with a sidecar."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import yaml

from tests.node.node import Node
from tests.node.pods import ELECTOR, Pod, wait_until
from tests.processes.running import ROOT

DEPLOY: Final = ROOT / "deploy"
EXAMPLES: Final = ROOT / "examples" / "kubernetes"
WORKLOADS: Final = Path(__file__).parent / "workloads"
IMAGE: Final = {"name": "elector", "newName": "localhost/elector", "newTag": "test"}

_GROUPS: Final = {
    "pods": "api/v1",
    "jobs": "apis/batch/v1",
    "cronjobs": "apis/batch/v1",
    "locks": "apis/metaparticle.io/v1",
    "sessions": "apis/metaparticle.io/v1",
}

_LOG_LINE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) \S.*")
_SECRET: Final = re.compile(r"eyJ[\w-]{20}|(?<![\w-])[0-9a-f]{32}(?![\w-])")
"""A token of the cluster, or a whole holder id, which is the right to release."""

_SIDECAR: Final = "/spec/template/spec/initContainers/0"
_numbers = itertools.count(1)


class Namespace:
    """One namespace of its own. `folder` takes the kustomizations that a user would write."""

    def __init__(self, node: Node, folder: Path, lease_seconds: float | None = None) -> None:
        self.node = node
        self.name = f"shop-{next(_numbers)}"
        self.lease_seconds = lease_seconds
        self._folder = folder
        self._pods: dict[str, Pod] = {}
        self.kubectl("create", "namespace", self.name)
        self.kubectl("label", "namespace", self.name, "pod-security.kubernetes.io/enforce=restricted")
        self.install()

    def install(self) -> None:
        """What the documentation calls the whole installation."""
        self.here("apply", "-k", str(DEPLOY))

    def kubectl(self, *words: str) -> str:
        """What kubectl prints."""
        return self.node.kubectl(*words)

    def here(self, *words: str) -> str:
        """What kubectl prints about this namespace."""
        return self.node.kubectl("-n", self.name, *words)

    def all_of(self, plural: str, selector: str = "") -> list[dict[str, Any]]:
        """All objects of one kind, or those with a label. Asks the API server itself, because kubectl is slow."""
        query = urlencode({"labelSelector": selector})
        found: list[dict[str, Any]] = self.node.request("GET", f"{self._path(plural)}?{query}")["items"]
        return found

    def get(self, plural: str, name: str) -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = self.node.request("GET", f"{self._path(plural)}/{name}")
        return found

    def apply_example(self, name: str, *patches: dict[str, Any]) -> None:
        """One file of examples/kubernetes, with nothing changed but where the image is found, and what is said here."""
        self._apply([EXAMPLES / name], {"patches": list(patches)})

    def apply_example_with_component(self) -> None:
        """The example with the component, used as a base by a kustomization that says where the image is found."""
        folder = self._folder / "example"
        self._apply([], {"resources": [os.path.relpath(EXAMPLES / "kustomize", folder)]}, folder)

    def provide_volume(self) -> None:
        """What the storage of a cluster would do for a claim."""
        path = self._folder / "volume"
        path.mkdir()
        path.chmod(0o777)  # A storage class would look at fsGroup; a folder does not.
        spec = {"capacity": {"storage": "64Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(path)}}
        spec |= {"claimRef": {"namespace": self.name, "name": "migration"}}
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": self.name}, "spec": spec}
        self.node.kubectl("apply", "-f", "-", stdin=json.dumps(volume))

    def apply_with_sidecar(self, name: str, *arguments: str, elector: Mapping[str, object] | None = None) -> None:
        """A workload of the tests, to which the component of deploy/ adds the sidecar.

        `elector` has changes to the sidecar, by their paths in it.
        """
        component = os.path.relpath(DEPLOY / "sidecar", self._folder / name)
        script = {"name": "application", "files": ["application.py"]}
        changes: dict[str, Any] = {"components": [component], "configMapGenerator": [script]}
        changes["patches"] = [_arguments(arguments)] if arguments else []
        changes["patches"] += [_patch((f"{_SIDECAR}/{path}", value)) for path, value in (elector or {}).items()]
        if self.lease_seconds is not None:
            changes["patches"].append(_lease(self.lease_seconds))
        self._apply([WORKLOADS / name, WORKLOADS / "application.py"], changes)

    def pods(self, selector: str, count: int, is_right: Callable[[dict[str, Any]], bool] | None = None) -> list[Pod]:
        """So many pods, as soon as all are ready, or otherwise right."""

        def all_right() -> list[dict[str, Any]]:
            found = [one for one in self.all_of("pods", selector) if _is_wanted(one)]
            return found if len(found) == count and all(map(is_right or _is_ready, found)) else []

        found = wait_until(all_right, f"{count} pods {selector} in {self.name}")
        return [self._known(one) for one in sorted(found, key=lambda one: one["metadata"]["name"])]

    def pod(self, name: str) -> Pod:
        """One pod, as it is now."""
        return self._known(self.get("pods", name))

    def locks(self) -> list[dict[str, Any]]:
        """All lock records but the electors' own."""
        return [one for one in self.all_of("locks") if one["spec"].get("name")]

    def sessions(self) -> list[dict[str, Any]]:
        """All session records."""
        return self.all_of("sessions")

    def session_of(self, pod: Pod) -> dict[str, Any]:
        """The session of a pod's elector."""
        (found,) = [one["spec"] for one in self.sessions() if one["spec"]["owner"] == pod.name]
        return dict(found)

    def logs(self, pod: str, *words: str) -> str:
        """What a user sees of a pod's containers."""
        return self.here("logs", pod, "--all-containers", "--prefix", "--ignore-errors", "--tail=30", *words)

    def evidence(self) -> str:
        """What helps to understand a failure."""
        pods = self.here("get", "pods", "-o", "wide")
        names = [one["metadata"]["name"] for one in self.all_of("pods")]
        events = self.here("get", "events", "--sort-by=.lastTimestamp")
        records = self.here("get", "locks,sessions")
        logs = "\n".join(self.logs(name) for name in names)
        return f"{pods}\n{events}\n{records}\n{logs}"

    def assert_logs_read_well(self) -> None:
        """In no log of an elector here is anything but lines with a time and a level, without a token."""
        lines = [line for pod in self._pods.values() for line in pod.said(ELECTOR)]
        bad = [line for line in lines if not _LOG_LINE.fullmatch(line) or _SECRET.search(line)]
        assert not bad, "\n".join(bad)

    def remove(self) -> None:
        """Begin to remove it; no test waits for that."""
        for pod in self._pods.values():
            pod.close()
        self.here("delete", "deployments,statefulsets,jobs,cronjobs", "--all", "--wait=false")
        self.here("delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")
        self.kubectl("delete", "namespace", self.name, "--wait=false")

    def _path(self, plural: str) -> str:
        return f"/{_GROUPS[plural]}/namespaces/{self.name}/{plural}"

    def _known(self, found: dict[str, Any]) -> Pod:
        pod = self._pods.setdefault(found["metadata"]["uid"], Pod(found))
        pod.found = found
        pod.said(ELECTOR)  # From now on it can be read, though the pod may go.
        return pod

    def _apply(self, files: Sequence[Path], changes: dict[str, Any], folder: Path | None = None) -> None:
        folder = folder or self._folder / files[0].name
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        resources = [file.name for file in files if file.suffix == ".yaml"]
        kustomization = {"namespace": self.name, "resources": resources, "images": [IMAGE], **changes}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        self.kubectl("apply", "-k", str(folder))


def _is_wanted(found: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in found["metadata"]


def _is_ready(found: dict[str, Any]) -> bool:
    conditions = found["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _lease(seconds: float) -> dict[str, Any]:
    flags = (f"--lease-seconds={seconds:g}", f"--client-ttl-seconds={seconds:g}")
    return _patch(*((f"{_SIDECAR}/args/-", flag) for flag in flags))


def _arguments(arguments: Sequence[str]) -> dict[str, Any]:
    return _patch(("/spec/template/spec/containers/0/args", list(arguments)))


def _patch(*additions: tuple[str, object]) -> dict[str, Any]:
    patch = [{"op": "add", "path": path, "value": value} for path, value in additions]
    return {"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}
