"""Who an elector is to the API server changes while it runs: tokens rotate, plugins of a kubeconfig give new ones."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from elector_server.store import StoreUnavailable
from elector_server.store import kubernetes_api as api_module
from elector_server.store.kubernetes import KubernetesStore
from elector_server.store.kubernetes_access import load_access
from tests.cluster import wire_faults as faults
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import Exchange, Fault, FaultProxy, pass_on
from tests.cluster.namespaces import Namespace
from tests.cluster.pods import PodMachine
from tests.cluster.proxied import ProbedElector
from tests.processes.electors import LONG, Leases
from tests.processes.history import now_ns
from tests.processes.running import Process, wait_until
from tests.stores.harness import LOCK

LEASES: Final = Leases(10.0, 60.0)

_refuse: Final = faults.refuse(401, "Unauthorized")


@pytest.fixture
def proxy(plane: ControlPlane, namespace: Namespace) -> Iterator[FaultProxy]:
    with FaultProxy(plane, namespace.folder / "proxy") as proxy:
        yield proxy


def refusing(token: str) -> Fault:
    """As if this token had expired."""

    async def fault(exchange: Exchange) -> None:
        old = exchange.headers.get("authorization") == f"Bearer {token}"
        await (_refuse if old else pass_on)(exchange)

    return fault


def tokens(exchanges: list[Exchange]) -> set[str]:
    return {exchange.headers.get("authorization", "").removeprefix("Bearer ") for exchange in exchanges}


class InPodElector(ProbedElector):
    """An elector that finds the API server as in a pod: by two variables and the service account's folder."""

    def __init__(self, namespace: Namespace, leases: Leases, proxy: FaultProxy) -> None:
        super().__init__(namespace, leases)
        self._port_of_api = proxy.port
        self.service_account = namespace.service_account
        (self.service_account / "ca.crt").write_bytes(proxy.authority.read_bytes())

    def launch(self) -> None:
        self.end()
        arguments = ["-m", "tests.cluster.in_pod_program", str(self.service_account), *self._arguments()[2:]]
        self._process = Process(arguments, self.output, self.environment())

    def environment(self) -> Mapping[str, str]:
        kept = {key: value for key, value in super().environment().items() if key.startswith("POD_")}
        return kept | {
            "KUBECONFIG": "",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self._port_of_api),
        }


def write_as_the_kubelet_does(folder: Path, token: str) -> None:
    """Projected files are symbolic links into a folder that is replaced as a whole."""
    fresh = folder / f"..{token[-12:]}"
    fresh.mkdir()
    (fresh / "token").write_text(token)
    for name, target in (("..data", fresh.name), ("token", "..data/token")):
        link = folder / f"{name}.new"
        link.symlink_to(target)
        link.rename(folder / name)


def test_a_pods_token_rotates(pods: PodMachine, namespace: Namespace, proxy: FaultProxy) -> None:
    """The old one is refused: the same request is sent again with the new one, and nobody hears of it."""
    write_as_the_kubelet_does(namespace.service_account, namespace.token)
    elector = InPodElector(namespace, LEASES, proxy)
    pods._ends.append(elector)
    elector.start()
    application = pods.worker(elector, tells=True)
    application.acquire("a")
    token = namespace.new_token(7200)
    write_as_the_kubelet_does(namespace.service_account, token)
    proxy.rule(refusing(namespace.token))
    before = len(proxy.seen)
    application.release("a")
    application.acquire("a")
    renewals = proxy.asked("update", "sessions")[-1].at
    wait_until(lambda: proxy.asked("update", "sessions")[-1].at > renewals, "the session is renewed")
    refused = [one for one in proxy.seen[before:] if one.headers.get("authorization", "").endswith(namespace.token)]
    assert len(refused) == 1
    assert tokens([one for one in proxy.seen[before:] if one not in refused]) == {token}
    application.wait_for_belief("a", now_ns())
    assert not application.events("told")
    assert not application.events("doubt")


def test_a_pods_token_is_read_again_before_it_is_refused(
    namespace: Namespace, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "REREAD_SECONDS", 0.2)
    (namespace.service_account / "ca.crt").write_bytes(proxy.authority.read_bytes())
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(proxy.port)}
    token = namespace.new_token(7200)

    async def run() -> None:
        store = KubernetesStore(lambda: load_access(environ, namespace.service_account), namespace.name, proxy.url)
        try:
            await store.get(LOCK, "a")
            (namespace.service_account / "token").write_text(token)
            async with asyncio.timeout(20):
                while tokens(proxy.seen[-1:]) != {token}:
                    await store.get(LOCK, "a")
        finally:
            await store.close()

    asyncio.run(run())
    assert tokens(proxy.seen) == {namespace.token, token}
    assert {one.status for one in proxy.seen} == {404}
    assert proxy.connects == 1


class Plugin:
    """An exec plugin of a kubeconfig, as cloud providers have: it prints the token that a file contains."""

    def __init__(self, namespace: Namespace, proxy: FaultProxy) -> None:
        self._folder = namespace.folder
        self.token, self.runs = self._folder / "plugin-token", self._folder / "plugin-runs"
        self.seconds = self._folder / "plugin-seconds"
        self.token.write_text(namespace.token)
        self.runs.write_text("")
        self.seconds.write_text("0")
        program = self._folder / "plugin.py"
        program.write_text(
            "import json, pathlib, time\n"
            f"open({str(self.runs)!r}, 'a').write('.')\n"
            f"time.sleep(float(pathlib.Path({str(self.seconds)!r}).read_text()))\n"
            f"token = pathlib.Path({str(self.token)!r}).read_text()\n"
            "status = {'token': token}\n"
            "kind = {'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential'}\n"
            "print(json.dumps(kind | {'status': status}))\n"
        )
        plugin: dict[str, Any] = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(program)],
            "interactiveMode": "Never",
        }
        self.kubeconfig = proxy.kubeconfig(namespace, exec=plugin)

    @property
    def count(self) -> int:
        return len(self.runs.read_text())


def test_a_plugin_is_run_when_its_token_is_refused(pods: PodMachine, namespace: Namespace, proxy: FaultProxy) -> None:
    plugin = Plugin(namespace, proxy)
    elector = ProbedElector(namespace, LONG, plugin.kubeconfig)
    pods._ends.append(elector)
    elector.start()
    application = pods.worker(elector, tells=True)
    application.acquire("a")
    runs = plugin.count
    for _ in range(5):
        application.release("a")
        application.acquire("a")
    assert plugin.count == runs <= 2
    token = namespace.new_token(7200)
    plugin.token.write_text(token)
    proxy.rule(refusing(namespace.token))
    application.release("a")
    application.acquire("a")
    assert plugin.count == runs + 1
    assert tokens([proxy.seen[-1]]) == {token}


def test_a_plugin_may_take_longer_than_a_request(namespace: Namespace, proxy: FaultProxy) -> None:
    """Whoever is tired of waiting does not end it, and nobody starts another one beside it."""
    plugin = Plugin(namespace, proxy)
    plugin.seconds.write_text("1")

    async def run() -> None:
        store = KubernetesStore(lambda: load_access({"KUBECONFIG": str(plugin.kubeconfig)}), namespace.name, proxy.url)
        try:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await store.get(LOCK, "a")
            assert await store.get(LOCK, "a") is None
        finally:
            await store.close()

    asyncio.run(run())
    assert plugin.count == 1


def test_a_plugin_that_fails_is_said(namespace: Namespace, proxy: FaultProxy) -> None:
    plugin = Plugin(namespace, proxy)
    token = plugin.token.read_text()
    plugin.token.unlink()

    async def run() -> None:
        store = KubernetesStore(lambda: load_access({"KUBECONFIG": str(plugin.kubeconfig)}), namespace.name, proxy.url)
        try:
            with pytest.raises(StoreUnavailable, match="plugin") as caught:
                await store.get(LOCK, "a")
            assert caught.value.code == "no_access"
            plugin.token.write_text(token)
            assert await store.get(LOCK, "a") is None
        finally:
            await store.close()

    asyncio.run(run())
    assert len(proxy.seen) == 1


def test_files_of_a_kubeconfig_are_read_again_when_refused(namespace: Namespace, proxy: FaultProxy) -> None:
    path = proxy.kubeconfig(namespace)
    assert json.loads(path.read_text())["users"][0]["user"]["tokenFile"]

    async def run() -> None:
        store = KubernetesStore(lambda: load_access({"KUBECONFIG": str(path)}), namespace.name, proxy.url)
        try:
            assert await store.get(LOCK, "a") is None
            token = namespace.new_token(7200)
            (namespace.service_account / "token").write_text(token)
            proxy.rule(refusing(namespace.token))
            assert await store.get(LOCK, "a") is None
            assert await store.get(LOCK, "a") is None
        finally:
            await store.close()

    asyncio.run(run())
    assert len(proxy.seen) == 4
