"""What a user meets when something is set up wrongly: each with its own words and code, and gone when it is mended."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from elector_server.store import Store, StoreUnavailable
from elector_server.store.kubernetes import KubernetesStore
from elector_server.store.kubernetes_access import Access, load_access
from tests.cluster.binaries import Binaries
from tests.cluster.control_plane import ADMIN_TOKEN, ControlPlane, free_ports
from tests.cluster.namespaces import LOCKS, Namespace, install, until_served
from tests.stores.harness import LOCK, SESSION

SPEC = {"owner": "pod", "epoch": 1, "lease_seconds": 20.0}

Use = Callable[[Store], Coroutine[Any, Any, object]]


async def create(store: Store) -> object:
    return await store.create(LOCK, "a", "s", SPEC)


def failure(store: Callable[[], KubernetesStore], use: Use = create) -> StoreUnavailable:
    """How one use of a store ends."""

    async def run() -> StoreUnavailable:
        opened = store()
        try:
            await asyncio.wait_for(use(opened), 20)
        except StoreUnavailable as error:
            return error
        finally:
            await opened.close()
        raise AssertionError("it succeeded")

    return asyncio.run(run())


def admin_of(plane: ControlPlane, namespace: str, folder: Path) -> KubernetesStore:
    path = folder / "admin"
    plane.write_kubeconfig(path, namespace, token=ADMIN_TOKEN)
    return KubernetesStore(lambda: load_access({"KUBECONFIG": str(path)}), namespace, plane.url)


@pytest.fixture
def bare_plane(found_binaries: Binaries, tmp_path: Path) -> Iterator[ControlPlane]:
    """A cluster in which nobody has installed anything."""
    control_plane = ControlPlane(found_binaries, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.callback(control_plane.stop)
        control_plane.start()
        yield control_plane


def test_the_definitions_are_missing(bare_plane: ControlPlane, tmp_path: Path) -> None:
    uses: tuple[Use, ...] = (
        create,
        lambda store: store.get(LOCK, "a"),
        lambda store: store.list(SESSION),
        lambda store: store.replace(LOCK, "a", 1, "s", SPEC),
        lambda store: store.delete(LOCK, "a", 1),
    )
    for use in uses:
        error = failure(lambda: admin_of(bare_plane, "default", tmp_path), use)
        assert (error.code, type(error)) == ("crd_missing", StoreUnavailable)
        assert "kubectl apply -k deploy/" in str(error)
    install(bare_plane)
    asyncio.run(succeed(lambda: admin_of(bare_plane, "default", tmp_path)))


async def succeed(store: Callable[[], KubernetesStore]) -> None:
    opened = store()
    try:
        record = await opened.create(LOCK, "a", "s", SPEC)
        await opened.delete(LOCK, "a", record.version)
    finally:
        await opened.close()


def test_the_role_is_not_bound(plane: ControlPlane, namespace: Namespace) -> None:
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace.name + "-other"}})
    error = failure(lambda: KubernetesStore(namespace.load, namespace.name + "-other", plane.url))
    assert (error.code, type(error)) == ("store_forbidden", StoreUnavailable)
    assert f"system:serviceaccount:{namespace.name}:elector may not create locks" in str(error)
    assert f"kubectl apply -k deploy/ -n {namespace.name}-other" in str(error)


def test_what_is_said_of_a_missing_right_gives_it(plane: ControlPlane, namespace: Namespace, tmp_path: Path) -> None:
    """To another account than that of deploy/, whom its RoleBinding does not help."""
    accounts = f"/api/v1/namespaces/{namespace.name}/serviceaccounts"
    plane.request("POST", accounts, {"metadata": {"name": "web"}})
    token, path = namespace.new_token(account="web"), tmp_path / "web"
    plane.write_kubeconfig(path, namespace.name, token=token)

    def store() -> KubernetesStore:
        return KubernetesStore(lambda: load_access({"KUBECONFIG": str(path)}), namespace.name, plane.url)

    command = re.search(r"kubectl (create rolebinding [^)]*)", str(failure(store)))
    assert command is not None
    plane.kubectl(*shlex.split(command[1]))
    until_served(plane, LOCKS.format(namespace.name), token=token)
    asyncio.run(succeed(store))


def test_the_namespace_is_missing(plane: ControlPlane, tmp_path: Path) -> None:
    error = failure(lambda: admin_of(plane, "nowhere", tmp_path))
    assert error.code == "namespace_missing"
    assert "there is no namespace nowhere" in str(error)


def test_a_refused_token_is_read_again(namespace: Namespace) -> None:
    path = namespace.service_account / "token"

    async def run() -> None:
        store = namespace.store()
        try:
            record = await store.create(LOCK, "a", "s", SPEC)
            path.write_text("expired")
            # The one in use is as good as before.
            record = await store.replace(LOCK, "a", record.version, "s", SPEC)
            store._api._access = namespace.load()
            with pytest.raises(StoreUnavailable) as caught:
                await store.get(LOCK, "a")
            assert caught.value.code == "token_refused"
            path.write_text(namespace.new_token())
            assert await store.get(LOCK, "a") == record
        finally:
            await store.close()

    asyncio.run(run())


def test_the_certificate_is_of_another_authority(namespace: Namespace, plane: ControlPlane, tmp_path: Path) -> None:
    folder = namespace.service_account
    good = (folder / "ca.crt").read_text()
    other = ControlPlane(plane.binaries, tmp_path)
    make_certificate(other.folder)
    (folder / "ca.crt").write_text((other.folder / "other.crt").read_text())

    async def run() -> None:
        store = namespace.store()
        try:
            with pytest.raises(StoreUnavailable) as caught:
                await store.get(LOCK, "a")
            assert (caught.value.code, type(caught.value)) == ("tls_failure", StoreUnavailable)
            assert "can not be trusted" in str(caught.value)
            (folder / "ca.crt").write_text(good)
            assert await store.get(LOCK, "a") is None
        finally:
            await store.close()

    asyncio.run(run())


def make_certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-days", "1"]
    command += ["-keyout", str(folder / "other.key"), "-out", str(folder / "other.crt")]
    subprocess.run(command, check=True, capture_output=True)


def test_the_api_server_is_out_of_reach(namespace: Namespace) -> None:
    (port,) = free_ports(1)

    def load() -> Access:
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
        return load_access(environ, namespace.service_account)

    error = failure(lambda: KubernetesStore(load, namespace.name, f"https://127.0.0.1:{port}"))
    assert (error.code, type(error)) == ("api_unreachable", StoreUnavailable)
    assert f"127.0.0.1:{port} can not be reached" in str(error)


def test_a_quota_is_used_up(plane: ControlPlane, namespace: Namespace) -> None:
    path = f"/api/v1/namespaces/{namespace.name}/resourcequotas"
    hard = {"count/locks.metaparticle.io": "0"}
    quota = plane.request("POST", path, {"metadata": {"name": "few"}, "spec": {"hard": hard}})
    # What the quota controller does in a whole cluster.
    quota["status"] = {"hard": hard, "used": {"count/locks.metaparticle.io": "0"}}
    plane.request("PUT", path + "/few/status", quota)
    error = soon(namespace, "quota_exceeded")
    assert "raise it" in str(error)


def soon(namespace: Namespace, code: str) -> StoreUnavailable:
    """What was set up is in force a moment later."""
    give_up_at = time.monotonic() + 20
    while True:
        try:
            error = failure(namespace.store, lambda store: store.create(LOCK, f"a{time.time_ns()}", "s", SPEC))
        except AssertionError:
            assert time.monotonic() < give_up_at
        else:
            assert (error.code, type(error)) == (code, StoreUnavailable), error
            return error
        time.sleep(0.05)


def test_an_admission_rule_refuses(plane: ControlPlane, namespace: Namespace) -> None:
    group = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["metaparticle.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["locks"]}
    only_here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}
    policy = {
        "metadata": {"name": namespace.name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "no locks on Fridays"}],
        },
    }
    binding = {
        "metadata": {"name": namespace.name},
        "spec": {"policyName": namespace.name, "validationActions": ["Deny"], "matchResources": only_here},
    }
    plane.request("POST", f"{group}/validatingadmissionpolicies", policy)
    plane.request("POST", f"{group}/validatingadmissionpolicybindings", binding)
    try:
        assert "no locks on Fridays" in str(soon(namespace, "admission_refused"))
    finally:
        plane.request("DELETE", f"{group}/validatingadmissionpolicybindings/{namespace.name}")
        plane.request("DELETE", f"{group}/validatingadmissionpolicies/{namespace.name}")


def test_an_admission_webhook_is_down(plane: ControlPlane, namespace: Namespace) -> None:
    """Answered with 500, but certain: nothing is stored before all webhooks have agreed."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    (port,) = free_ports(1)
    webhook = {
        "name": "locks.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
        "rules": [
            {"apiGroups": ["metaparticle.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["locks"]}
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
    }
    plane.request("POST", path, {"metadata": {"name": namespace.name}, "webhooks": [webhook]})
    try:
        assert "locks.example.com" in str(soon(namespace, "admission_refused"))
    finally:
        plane.request("DELETE", f"{path}/{namespace.name}")


@pytest.mark.parametrize("owner", ["😀" * 1000, "😀" * 500])
def test_a_record_is_too_large(namespace: Namespace, owner: str) -> None:
    """Too large for the API server, and for etcd."""
    ticket = {"holder": "h", "session": "s", "epoch": 1, "lease_seconds": 20.0, "owner": owner}
    spec = SPEC | {"queue": [ticket] * 1000}
    error = failure(namespace.store, lambda store: store.create(LOCK, "a", "s", spec))
    assert (error.code, type(error)) == ("record_too_large", StoreUnavailable)


def test_the_definition_is_older_than_the_elector(namespace: Namespace) -> None:
    error = failure(namespace.store, lambda store: store.create(LOCK, "a", "s", SPEC | {"of_tomorrow": 1}))
    assert error.code == "crd_outdated"
    assert "ofTomorrow" in str(error)


LIVE = SPEC | {"identity": "me", "seq": 5, "nonce": "n", "boot_id": "b", "state": "live", "renewed_at": "now"}


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (LIVE | {"state": "ended"}, LIVE, "stays ended"),
        (LIVE | {"state": "gone"}, LIVE, "can only end"),
        (LIVE, LIVE | {"seq": 4}, "seq never falls"),
        (LIVE | {"epoch": 2}, LIVE, "epoch never falls"),
        (LIVE, LIVE | {"identity": "you"}, "identity of a session never changes"),
        (LIVE, LIVE | {"lease_seconds": 30}, "lease of a session never changes"),
    ],
)
def test_the_definitions_guard_the_rules(
    namespace: Namespace, before: dict[str, Any], after: dict[str, Any], why: str
) -> None:
    async def use(store: Store) -> object:
        record = await store.create(SESSION, "a", "s", before)
        same = await store.replace(SESSION, "a", record.version, "s", before)
        return await store.replace(SESSION, "a", same.version, "s", after)

    error = failure(namespace.store, use)
    assert (error.code, type(error)) == ("record_refused", StoreUnavailable)
    assert why in str(error)


def test_tokens_never_fall(namespace: Namespace) -> None:
    async def use(store: Store) -> object:
        record = await store.create(LOCK, "a", "s", SPEC | {"token": "99"})
        record = await store.replace(LOCK, "a", record.version, "s", SPEC | {"token": "100"})
        return await store.replace(LOCK, "a", record.version, "s", SPEC | {"token": "99"})

    assert "fencing tokens never fall" in str(failure(namespace.store, use))


HELD = SPEC | {"holder": "h" * 32, "session": "s"}


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (SPEC, SPEC | {"holder": "h" * 32}, "a holder has a session"),
        (HELD, {"owner": "x", "holder": "h" * 32, "session": "s"}, "a holder has a session"),
        (HELD, SPEC, "stays held until it is deleted"),
    ],
)
def test_a_lock_that_is_held_says_by_what(
    namespace: Namespace, before: dict[str, Any], after: dict[str, Any], why: str
) -> None:
    async def use(store: Store) -> object:
        record = await store.create(LOCK, "a", "s", before)
        return await store.replace(LOCK, "a", record.version, "s", after)

    assert why in str(failure(namespace.store, use))


def test_the_original_project_may_write_over_a_held_lock(namespace: Namespace) -> None:
    async def use() -> None:
        store = namespace.store()
        try:
            record = await store.create(LOCK, "a", "s", HELD)
            await store.replace(LOCK, "a", record.version, "s", {"owner": "web-0", "expiry": "2017-07-14"})
        finally:
            await store.close()

    asyncio.run(use())
    assert [one["spec"]["owner"] for one in namespace.locks()] == ["web-0"]
