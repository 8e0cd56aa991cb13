"""What a person reads who looks at locks with kubectl."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from elector_server.store.kubernetes_objects import to_object, to_record
from tests.cluster.control_plane import ControlPlane
from tests.cluster.electors import PodElector, pod_electors
from tests.cluster.namespaces import Namespace
from tests.cluster.test_deploy import definitions, fields
from tests.docs.pages import blocks
from tests.processes.electors import LONG, Leases
from tests.processes.raw_client import RawClient
from tests.processes.running import ROOT, wait_until

OPERATIONS: Final = ROOT / "docs" / "operations.md"
TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def three(namespace: Namespace) -> Iterator[list[PodElector]]:
    with pod_electors(namespace, 3, LONG) as electors:
        yield electors


@pytest.fixture
def clients(three: list[PodElector]) -> Iterator[list[RawClient]]:
    """A process for each elector, named as the library names processes."""
    opened = [RawClient(elector.url, f"{elector.pod}:1 report.py") for elector in three]
    for client in opened:
        assert client.open().status == 200
    yield opened
    for client in opened:
        client.end()


def test_a_lock_reads_like_a_sentence(namespace: Namespace, three: list[PodElector], clients: list[RawClient]) -> None:
    first, second, third = three
    clients[0].acquire("report", "a" * 32)
    who = re.escape(f"held by {first.pod}:1 report.py at {first.pod} since ")
    assert re.fullmatch(rf"{who}{TIME}; nobody waits", about(namespace))
    waiting = clients[1].begin_to_acquire("report", "b" * 32)
    first.wait_for_waiters("report", 1)
    assert about(namespace).endswith(f"; next is {second.pod}:1 report.py at {second.pod}")
    clients[2].begin_to_acquire("report", "c" * 32)
    first.wait_for_waiters("report", 2)
    assert about(namespace).endswith(f"; next is {second.pod}:1 report.py at {second.pod}, then 1 more")
    clients[0].release("report", "a" * 32)
    waiting.answer()
    who = re.escape(f"held by {second.pod}:1 report.py at {second.pod} since ")
    next_is = re.escape(f"; next is {third.pod}:1 report.py at {third.pod}")
    assert re.fullmatch(rf"{who}{TIME}{next_is}", about(namespace))


def about(namespace: Namespace) -> str:
    """The first line of the spec, as it is printed."""
    shown = namespace.plane.kubectl("get", "lock", "report", "-n", namespace.name, "-o", "yaml")
    spec = yaml.safe_load(shown)["spec"]
    assert next(iter(spec)) == "about"
    text = spec["about"]
    assert isinstance(text, str)
    return text


def test_what_is_written_for_people_is_no_part_of_the_record() -> None:
    spec = {"owner": "pod-1", "queue": [{"owner": "pod-2", "process": "x" * 256}]}
    stored = to_object("lock", "a", "s", spec, 7)
    assert stored["spec"]["about"] == f"held by pod-1; next is {'x' * 256} at pod-2"
    record = to_record("lock", stored)
    assert record is not None
    assert record.spec == spec


def test_the_sentence_fits_whatever_the_names_are(namespace: Namespace) -> None:
    longest: dict[str, Any] = {"owner": "o" * 1024, "process": "p" * 256}
    ticket = longest | {"holder": "h", "session": "s", "epoch": 1, "lease_seconds": 20.0}
    stored = to_object("lock", "a", "s", longest | {"acquired_at": "t" * 64, "queue": [ticket] * 100})
    path = f"/apis/metaparticle.io/v1/namespaces/{namespace.name}/locks?fieldValidation=Strict"
    assert namespace.plane.request("POST", path, stored)["spec"]["about"] == stored["spec"]["about"]


def test_a_wide_table_names_the_process(
    namespace: Namespace, three: list[PodElector], clients: list[RawClient]
) -> None:
    clients[0].acquire("Nightly Report", "a" * 32)
    head, row = namespace.plane.kubectl("get", "locks", "-o", "wide", "-n", namespace.name).splitlines()
    assert head.split() == ["NAME", "LOCK", "HOLDER", "SINCE", "WAITERS", "TOKEN", "PROCESS", "SESSION"]
    assert f"{three[0].pod}:1 report.py" in row


@pytest.mark.parametrize("definition", list(definitions()), ids=lambda one: one["spec"]["names"]["plural"])
def test_kubectl_explains_every_field_at_every_depth(plane: ControlPlane, definition: dict[str, Any]) -> None:
    singular = definition["spec"]["names"]["singular"]
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]
    tree = plane.kubectl("explain", singular, "--recursive", "--api-version=metaparticle.io/v1")
    for path, field in itertools.chain([(".spec", spec)], fields(spec, ".spec")):
        if path.endswith("[]"):
            continue
        name, depth = path.rpartition(".")[2], path.replace("[]", "").count(".")
        assert re.search(rf"^{'  ' * depth}{name}\t<", tree, re.MULTILINE), path
        dotted = f"{singular}{path}".replace("[]", "")
        said = plane.kubectl("explain", dotted, "--api-version=metaparticle.io/v1")
        assert " ".join(field["description"].split()) in " ".join(said.split()), path


def test_the_command_of_the_docs_deletes_sessions_that_have_ended(namespace: Namespace, tmp_path: Path) -> None:
    (command,) = [block.text for block in blocks(OPERATIONS, "text") if "xargs" in block.text]
    with pod_electors(namespace, 2, LONG) as (gone, there):
        gone.kill()
        (session,) = [one["metadata"]["name"] for one in namespace.sessions() if one["spec"]["owner"] == gone.pod]
        patch = '{"spec": {"state": "ended"}}'  # As the elector does that finds it silent.
        namespace.plane.kubectl("patch", "session", session, "--type=merge", "-p", patch, "-n", namespace.name)
        assert states(namespace) == {"live": there.pod, "ended": gone.pod}
        run_as_the_administrator(namespace, tmp_path, command)
        assert states(namespace) == {"live": there.pod}


def run_as_the_administrator(namespace: Namespace, folder: Path, command: str) -> str:
    """What a line of shell prints, with a `kubectl` that has cluster and namespace set."""
    plane = namespace.plane
    kubectl = folder / "kubectl"
    options = f"--kubeconfig={plane.admin_config} --namespace={namespace.name}"
    kubectl.write_text(f'#!/bin/sh\nexec {plane.binaries.kubectl} {options} "$@"\n')
    kubectl.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)},
        timeout=60,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def states(namespace: Namespace) -> dict[str, str]:
    """The pods that sessions belong to, by the state of the session."""
    return {one["spec"]["state"]: one["spec"]["owner"] for one in namespace.sessions()}


def test_the_token_of_a_pod_that_is_gone_renews_nothing(namespace: Namespace) -> None:
    """What `kubectl delete pod --force` does to a pod whose processes go on."""
    plane, core = namespace.plane, f"/api/v1/namespaces/{namespace.name}"
    spec = {"serviceAccountName": "elector", "containers": [{"name": "application", "image": "none"}]}
    pod = plane.request("POST", f"{core}/pods", {"metadata": {"name": "worker-1"}, "spec": spec})
    bound_to = {"kind": "Pod", "apiVersion": "v1", "name": "worker-1", "uid": pod["metadata"]["uid"]}
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound_to}}
    token = plane.request("POST", f"{core}/serviceaccounts/elector/token", wanted)["status"]["token"]
    (namespace.service_account / "token").write_text(token)
    with pod_electors(namespace, 1, Leases(8.0, 60.0)) as (elector,):
        client = RawClient(elector.url)
        try:
            client.open()
            assert client.acquire("report", "a" * 32).status == 200
            plane.kubectl("delete", "pod", "worker-1", "--force", "-n", namespace.name)
            wait_until(lambda: "(token_refused)" in elector.output.read_text(), "it can not renew")
            wait_until(lambda: client.heartbeat().body["lost"], "the holder is told")
        finally:
            client.end()
