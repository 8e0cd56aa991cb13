"""What an elector really sends, counted by a proxy: one request for each call, few connections, nothing by detours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Final

import pytest

from elector_server.store import OutcomeUnknown, Store, StoreUnavailable
from elector_server.store import kubernetes_api as api_module
from elector_server.store import kubernetes_watching as watching_module
from elector_server.store.kubernetes import KubernetesStore
from elector_server.store.kubernetes_access import load_access
from tests.cluster import wire_faults as faults
from tests.cluster.control_plane import ControlPlane, free_ports
from tests.cluster.electors import client_of
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.namespaces import Namespace
from tests.cluster.proxied import ProbedElector
from tests.processes.electors import LONG, Leases
from tests.processes.running import GENEROUS, wait_until
from tests.stores.harness import LOCK

SPEC: Final = {"owner": "pod", "epoch": 1, "lease_seconds": 20.0}
CYCLES: Final = 100
NAMED_STREAMS: Final = 32

Use = Callable[[Store], Coroutine[Any, Any, object]]


async def watch(store: Store) -> object:
    async with store.watch(LOCK, 1, name="a") as changes:
        return await changes.next()


CALLS: Final[dict[str, Use]] = {
    "get": lambda store: store.get(LOCK, "a"),
    "list": lambda store: store.list(LOCK),
    "create": lambda store: store.create(LOCK, "a", "s", SPEC),
    "update": lambda store: store.replace(LOCK, "a", 1, "s", SPEC),
    "delete": lambda store: store.delete(LOCK, "a", 1),
    "watch": watch,
}
WRITES: Final = {"create", "update", "delete"}


@pytest.fixture
def proxy(plane: ControlPlane, namespace: Namespace) -> Iterator[FaultProxy]:
    with FaultProxy(plane, namespace.folder / "proxy") as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def store_behind(proxy: FaultProxy, namespace: Namespace) -> AsyncIterator[KubernetesStore]:
    path = str(proxy.kubeconfig(namespace))
    store = KubernetesStore(lambda: load_access({"KUBECONFIG": path}), namespace.name, proxy.url)
    try:
        yield store
    finally:
        await store.close()


FAULTS: Final = {
    "500": faults.refuse(500, "InternalError"),
    "503, Retry-After: 0": faults.refuse(503, "ServiceUnavailable", Retry_After="0"),
    "429, Retry-After: 0": faults.refuse(429, "TooManyRequests", Retry_After="0"),
    "301": faults.say(301, Location="/elsewhere"),
    "302": faults.say(302, Location="/elsewhere"),
    "307": faults.say(307, Location="/elsewhere"),
    "308": faults.say(308, Location="/elsewhere"),
    "reset": faults.reset,
    "closed": faults.send_raw(b""),
    "half an answer": faults.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    "401": faults.refuse(401, "Unauthorized"),
}


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_call_is_one_request_whatever_comes_of_it(
    proxy: FaultProxy, namespace: Namespace, fault: str, *, warm: bool
) -> None:
    """A library that repeats on its own does so most of all when a kept connection breaks."""

    async def run() -> None:
        for verb, call in CALLS.items():
            proxy.clear()
            async with store_behind(proxy, namespace) as store:
                if warm:
                    await store.get(LOCK, "b")
                before = len(proxy.seen)
                proxy.rule(FAULTS[fault])
                with pytest.raises(StoreUnavailable):
                    await asyncio.wait_for(call(store), 20)
                assert [one.verb for one in proxy.seen[before:]] == [verb]

    asyncio.run(run())


def test_no_call_waits_for_ever(proxy: FaultProxy, namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes each request and never answers: our own clock ends it. All side by side."""
    monkeypatch.setattr(api_module, "CALL_SECONDS", 2.0)
    monkeypatch.setattr(watching_module, "REQUEST_SECONDS", (1, 1))
    monkeypatch.setattr(watching_module, "SILENCE_SECONDS", 1.0)
    proxy.rule(faults.stay_silent)

    async def run() -> None:
        async with store_behind(proxy, namespace) as store, asyncio.timeout(2.0 * GENEROUS):
            ends = await asyncio.gather(*(call(store) for call in CALLS.values()), return_exceptions=True)
        for verb, end in zip(CALLS, ends, strict=True):
            assert type(end) is (OutcomeUnknown if verb in WRITES else StoreUnavailable), (verb, end)
            assert "no answer" in str(end)

    asyncio.run(run())
    assert len(proxy.seen) == len(CALLS)


class DetouredElector(ProbedElector):
    """Its environment names proxies at which nobody listens."""

    def environment(self) -> Mapping[str, str]:
        (port,) = free_ports(1)
        detour = f"http://127.0.0.1:{port}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        return super().environment() | {name: detour for upper in names for name in (upper, upper.lower())}


@contextlib.contextmanager
def elector_behind(
    proxy: FaultProxy, namespace: Namespace, leases: Leases, kind: type[ProbedElector] = ProbedElector
) -> Iterator[ProbedElector]:
    elector = kind(namespace, leases, proxy.kubeconfig(namespace))
    try:
        elector.start()
        yield elector
    finally:
        elector.end()


def test_proxies_of_the_environment_are_not_used(proxy: FaultProxy, namespace: Namespace) -> None:
    with elector_behind(proxy, namespace, LONG, DetouredElector) as elector, client_of(elector) as client:
        assert client.acquire("a", "a" * 32).status == 200


def test_a_hundred_cycles_are_two_hundred_requests_on_kept_connections(proxy: FaultProxy, namespace: Namespace) -> None:
    with elector_behind(proxy, namespace, LONG) as elector, client_of(elector) as client:
        assert client.acquire("a", "a" * 32).status == 200
        assert client.release("a", "a" * 32).status == 204
        begun, connects = len(proxy.seen), proxy.connects
        for number in range(CYCLES):
            assert client.acquire("a", f"{number:032x}").status == 200
            assert client.release("a", f"{number:032x}").status == 204
        asked = [one for one in proxy.seen[begun:] if one.plural == "locks" and one.verb != "watch"]
        assert [one.verb for one in asked] == ["create", "delete"] * CYCLES
        assert proxy.connects - connects <= 1  # A renewal at the same time may need one more.


def test_waiters_for_more_names_take_no_more_connections(proxy: FaultProxy, namespace: Namespace) -> None:
    """One watch for each of some names, above that one on the namespace."""
    with (
        elector_behind(proxy, namespace, LONG) as elector,
        ProbedElectorBeside(namespace) as beside,
        client_of(elector) as waiter,
        client_of(beside) as holder,
    ):
        few, many = NAMED_STREAMS + 8, NAMED_STREAMS + 28
        for number in range(many):
            assert holder.acquire(f"name {number}", f"{number:032x}").status == 200
        watches = []
        pending = []
        for count in (few, many):
            for number in range(len(pending), count):
                pending.append(waiter.begin_to_acquire(f"name {number}", f"{1000 + number:032x}"))
                elector.wait_for_waiters(f"name {number}", 1)
            wait_until(lambda: proxy.under_way("watch") > NAMED_STREAMS, "all watches are open")
            watches.append(proxy.under_way("watch"))
            assert proxy.open_connections <= watches[-1] + 8  # calls at the same time
        # One for each of so many names, one for all others, one for the elector's own records.
        assert watches == [NAMED_STREAMS + 2] * 2
        for number in (0, few, many - 1):
            assert holder.release(f"name {number}", f"{number:032x}").status == 204
            assert pending[number].answer().status == 200


class ProbedElectorBeside:
    """Another pod's elector, without a proxy."""

    def __init__(self, namespace: Namespace) -> None:
        self._elector = ProbedElector(namespace, LONG)

    def __enter__(self) -> ProbedElector:
        self._elector.start()
        return self._elector

    def __exit__(self, *_: object) -> None:
        self._elector.end()
