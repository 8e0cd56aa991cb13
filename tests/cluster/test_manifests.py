"""Every manifest, as a real API server sees it, in a namespace that enforces the restricted profile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from metaparticle_sync import wire
from tests.cluster.control_plane import ControlPlane
from tests.cluster.workloads import (
    DEPLOY,
    EXAMPLES,
    RESTRICTED,
    SIDECAR,
    Object,
    dry_run,
    elector_of,
    files_of_examples,
    missing,
    pod_of,
    rendered,
    template_of,
    workloads_of,
)

APPLIED = (DEPLOY, *files_of_examples(), EXAMPLES / "kustomize")
WITH_PODS = APPLIED[1:]

_numbers = itertools.count(1)


def of_place(path: Path) -> str:
    return str(path.relative_to(DEPLOY.parent))


@pytest.fixture(scope="module")
def restricted(plane: ControlPlane) -> Iterator[str]:
    """The name of a namespace with what deploy/ puts there, under the restricted profile."""
    name = f"restricted-{next(_numbers)}"
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": RESTRICTED}})
    plane.kubectl("apply", "-k", str(DEPLOY), "-n", name, "--warnings-as-errors")
    yield name
    plane.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize("path", APPLIED, ids=of_place)
def test_the_server_takes_it_as_it_is_written(plane: ControlPlane, restricted: str, path: Path) -> None:
    written = rendered(plane, path)
    stored = dry_run(plane, restricted, written)
    assert len(stored) == len(written) > 0
    for one, other in zip(written, stored, strict=True):
        assert list(missing(one, other)) == []


@pytest.mark.parametrize("path", WITH_PODS, ids=of_place)
def test_the_server_takes_its_pods(plane: ControlPlane, restricted: str, path: Path) -> None:
    workloads = workloads_of(rendered(plane, path))
    assert workloads
    for workload in workloads:
        pod = pod_of(workload)
        (stored,) = dry_run(plane, restricted, [pod])
        assert list(missing(pod, stored)) == []
        assert elector_mounts_alone(stored)


def elector_mounts_alone(pod: Object) -> bool:
    """Whether the token is where only the elector can read it, whatever the server has added."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    holders = [
        one["name"]
        for one in containers
        for mount in one.get("volumeMounts", ())
        if mount["mountPath"] == folder or mount["name"] == "elector-access"
    ]
    return holders == ["elector"]


def without_non_root(pod: Object) -> None:
    del pod["spec"]["initContainers"][0]["securityContext"]["runAsNonRoot"]
    del pod["spec"]["securityContext"]["runAsNonRoot"]


def with_all_capabilities(pod: Object) -> None:
    del pod["spec"]["initContainers"][0]["securityContext"]["capabilities"]


def with_network_of_the_node(pod: Object) -> None:
    pod["spec"]["hostNetwork"] = True


@pytest.mark.parametrize("spoil", [without_non_root, with_all_capabilities, with_network_of_the_node])
def test_the_namespace_would_refuse_less_careful_pods(plane: ControlPlane, restricted: str, spoil) -> None:
    (workload,) = workloads_of(rendered(plane, EXAMPLES / "leader.yaml"))
    pod = pod_of(workload)
    spoil(pod)
    with pytest.raises(AssertionError, match='violates PodSecurity "restricted:latest"'):
        dry_run(plane, restricted, [pod])


@pytest.mark.parametrize("path", WITH_PODS, ids=of_place)
def test_the_sidecar_written_out_is_the_components(plane: ControlPlane, path: Path) -> None:
    model = rendered_component(plane)
    for workload in workloads_of(rendered(plane, path)):
        assert elector_of(workload) == elector_of(model)
        ours, theirs = template_of(workload)["spec"], template_of(model)["spec"]
        for field in ("serviceAccountName", "automountServiceAccountToken"):
            assert ours[field] == theirs[field]
        assert volume(ours) == volume(theirs)


def rendered_component(plane: ControlPlane) -> Object:
    (model,) = workloads_of(rendered(plane, EXAMPLES / "kustomize"))
    return model


def volume(spec: Object) -> Object:
    (found,) = [one for one in spec["volumes"] if one["name"] == "elector-access"]
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", WITH_PODS, ids=of_place)
def test_the_image_is_this_versions(plane: ControlPlane, path: Path) -> None:
    for workload in workloads_of(rendered(plane, path)):
        spec = template_of(workload)["spec"]
        images = {one["image"] for one in (*spec["initContainers"], *spec["containers"])}
        assert images == {f"elector:{wire.VERSION}"}


@pytest.mark.parametrize("path", WITH_PODS, ids=of_place)
def test_probes_and_resources(plane: ControlPlane, path: Path) -> None:
    for workload in workloads_of(rendered(plane, path)):
        elector = elector_of(workload)
        paths = {probe: elector[probe]["httpGet"]["path"] for probe in elector if probe.endswith("Probe")}
        assert paths == {"startupProbe": "/readyz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        (port,) = elector["ports"]
        assert {elector[probe]["httpGet"]["port"] for probe in paths} == {port["name"]}
        assert port["containerPort"] == wire.DEFAULT_PORT + 1
        assert set(elector["resources"]["requests"]) == {"cpu", "memory"}
        assert "cpu" not in elector["resources"].get("limits", {})


def manifests() -> Iterator[Path]:
    yield from DEPLOY.rglob("*.yaml")
    yield from EXAMPLES.rglob("*.yaml")


def test_no_manifest_is_cluster_wide_or_owned() -> None:
    found = list(manifests())
    assert {path.parent for path in found} >= {DEPLOY, SIDECAR, EXAMPLES}
    for path in found:
        text = path.read_text()
        assert "ClusterRole" not in text, path
        assert "ownerReferences" not in text, path
