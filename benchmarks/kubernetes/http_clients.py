"""One conditional write by our own HTTP client, and by those that others keep: why there is one of our own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import kubernetes.client
import uvloop

from benchmarks.kubernetes.api import RawApi
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.table import Row, percentile
from elector_server.rules.lock import KIND
from elector_server.store.kubernetes_http import Pool, Request
from elector_server.store.kubernetes_objects import API_VERSION, plural
from tests.cluster.namespaces import Namespace

TIMES = 300
WARMING = 20
CALL_SECONDS = 10.0
OURS = "ours"

Put = Callable[[], Awaitable[None]]
Way = Callable[[Namespace, RawApi], contextlib.AbstractAsyncContextManager[Put]]


def measure(cluster: Cluster) -> list[Row]:
    """The row of the HTTP client. They take turns in one process, each at an object of its own."""
    seconds = uvloop.run(_measure(cluster))
    raw = percentile(seconds.pop("http.client"), 50)
    times = {name: percentile(sample, 50) / raw for name, sample in seconds.items()}
    others = ", ".join(f"{name} {ratio:.2f} x" for name, ratio in times.items() if name != OURS)
    return [Row("a PUT by our HTTP client / raw PUT", times[OURS], 1.1, "x", others)]


async def _measure(cluster: Cluster) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    async with contextlib.AsyncExitStack() as stack:
        puts: dict[str, Put] = {}
        for number, (name, way) in enumerate(WAYS.items()):
            raw = RawApi(cluster.namespace, f"http-{number}")
            puts[name] = await stack.enter_async_context(way(cluster.namespace, raw))
        for number in range(WARMING + TIMES):
            for name, put in puts.items():
                started_at = time.perf_counter()
                await put()
                if number >= WARMING:
                    seconds[name].append(time.perf_counter() - started_at)
    return seconds


@contextlib.asynccontextmanager
async def _bare(_namespace: Namespace, raw: RawApi) -> AsyncIterator[Put]:
    async def put() -> None:
        raw.put()

    yield put


@contextlib.asynccontextmanager
async def _ours(namespace: Namespace, raw: RawApi) -> AsyncIterator[Put]:
    access, pool = namespace.load(), Pool("benchmark")

    async def put() -> None:
        answer = await pool.call(
            access.target, Request("PUT", raw.path, raw.body(), access.authorization), CALL_SECONDS
        )
        raw.written(answer.status, json.loads(answer.body))

    yield put
    await pool.close()


@contextlib.asynccontextmanager
async def _aiohttp(namespace: Namespace, raw: RawApi) -> AsyncIterator[Put]:
    url, tls = namespace.plane.url + raw.path, namespace.plane.tls()

    async def put() -> None:
        async with (
            asyncio.timeout(CALL_SECONDS),
            session.put(url, data=raw.body(), headers=raw.headers, ssl=tls, allow_redirects=False) as answer,
        ):
            raw.written(answer.status, json.loads(await answer.read()))

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield put


@contextlib.asynccontextmanager
async def _kubernetes_in_a_thread(namespace: Namespace, raw: RawApi) -> AsyncIterator[Put]:
    with kubernetes.client.ApiClient(_configured(kubernetes.client.Configuration(), namespace)) as client:
        replace = kubernetes.client.CustomObjectsApi(client).replace_namespaced_custom_object

        async def put() -> None:
            arguments = (*_GROUP, namespace.name, plural(KIND), raw.name, json.loads(raw.body()))
            raw.written(200, await asyncio.to_thread(replace, *arguments, _request_timeout=CALL_SECONDS))

        yield put


@contextlib.asynccontextmanager
async def _kubernetes_aio(namespace: Namespace, raw: RawApi) -> AsyncIterator[Put]:
    import kubernetes.aio.client as aio  # noqa: PLC0415 - older packages do not have it

    async with aio.ApiClient(_configured(aio.Configuration(), namespace)) as client:
        replace = aio.CustomObjectsApi(client).replace_namespaced_custom_object

        async def put() -> None:
            arguments = (*_GROUP, namespace.name, plural(KIND), raw.name, json.loads(raw.body()))
            raw.written(200, await replace(*arguments, _request_timeout=CALL_SECONDS))

        yield put


_GROUP = tuple(API_VERSION.split("/"))

WAYS: dict[str, Way] = {
    "http.client": _bare,
    OURS: _ours,
    "aiohttp": _aiohttp,
    "kubernetes in a thread": _kubernetes_in_a_thread,
}
if importlib.util.find_spec("kubernetes.aio"):
    WAYS["kubernetes.aio"] = _kubernetes_aio


def _configured(configuration: Any, namespace: Namespace) -> Any:
    configuration.host = namespace.plane.url
    configuration.ssl_ca_cert = str(namespace.plane.authority)
    bearer = f"Bearer {namespace.token}"
    configuration.api_key = {"BearerToken": bearer, "authorization": bearer}
    return configuration
