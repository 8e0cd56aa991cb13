"""The ASGI application, put together. Nothing is decided here; only this module knows a store implementation."""

from __future__ import annotations

import importlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import falcon
import falcon.asgi

from elector_server.announcement import SQLITE_FILE
from elector_server.clock import SystemClock
from elector_server.elector import Elector
from elector_server.front import Front
from elector_server.guard import Guard
from elector_server.health import LivenessResource, MetricsResource, ReadinessResource
from elector_server.identity import host_identity, local_identity, pod_identity
from elector_server.open_files import OpenFiles
from elector_server.problems import BadMethod, BadPath, InternalError, Problem
from elector_server.resources.barriers import BarrierResource
from elector_server.resources.conditions import ConditionResource
from elector_server.resources.description import DescriptionResource
from elector_server.resources.events import EventResource
from elector_server.resources.locks import LockListResource, LockResource
from elector_server.resources.rendering import problem_body, problem_headers
from elector_server.resources.semaphores import SemaphoreResource
from elector_server.resources.sessions import SessionResource, StreamResource
from elector_server.resources.shared import SharedListResource
from elector_server.store.identity_lock import IdentityLock
from elector_server.store.memory import MemoryStore
from elector_server.store.sqlite import SqliteStore
from elector_server.store.state_folder import StoreConfigurationError
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

    from elector_server.config import Settings
    from elector_server.own_session import Identity
    from elector_server.store import Store

log = logging.getLogger("elector")


def create_elector(settings: Settings, port: int) -> Elector:
    """An elector on the store that the settings name.

    Raises:
        StoreConfigurationError: the store can not be used.
        StoreUnavailable: somebody keeps it locked.
        IdentityInUse: another elector runs with this state folder and port.
        NoBootId: the machine does not say which boot this is.
    """
    identity, store = _STORES[settings.store](settings, port)
    clock = SystemClock()
    return Elector(
        store,
        identity=identity,
        durations=settings.durations,
        clock=clock,
        random=random.SystemRandom(),
        has_room=OpenFiles(clock).has_room,
    )


def preload(settings: Settings) -> None:
    """Import what only this store needs, before the fork: a worker that replaces another one starts at once."""
    if settings.store == "kubernetes":
        for module in ("elector_server.store.kubernetes", "kubernetes.client", "kubernetes.config"):
            importlib.import_module(module)


def _memory(_settings: Settings, port: int) -> tuple[Identity, Store]:
    # The wall clock, so that tokens rise over a restart that forgets everything.
    return local_identity(None, port), MemoryStore(time.time_ns() // 1_000)


def _sqlite(settings: Settings, port: int) -> tuple[Identity, Store]:
    identity = local_identity(settings.state_dir, port)
    store = SqliteStore(settings.state_dir / SQLITE_FILE, boot_id=identity.boot_id)
    # Never released: it is this process's right, and ends with it.
    IdentityLock(settings.state_dir, identity.key)
    return identity, store


def _kubernetes(settings: Settings, port: int) -> tuple[Identity, Store]:
    # Imported here, because nobody else needs it. The store is made even if the API server is out of reach.
    from elector_server.store.kubernetes import KubernetesStore  # noqa: PLC0415 - see above
    from elector_server.store.kubernetes_access import NoAccess, load_access  # noqa: PLC0415 - see above

    try:
        access = load_access(os.environ)
    except NoAccess as error:
        raise StoreConfigurationError(
            "--store", "kubernetes", str(error), "docs/kubernetes.md shows what an elector needs"
        ) from error
    namespace = settings.namespace or access.namespace
    log.info("the locks are objects of namespace %s in the API server at %s", namespace, access.server)
    store = KubernetesStore(
        lambda: load_access(os.environ),
        namespace,
        access.server,
        # A little less than the elector waits: so it hears why, and no pause that is asked for costs the session.
        call_seconds=0.9 * settings.durations.attempt_seconds,
    )
    pod = settings.pod
    return (host_identity(port) if pod is None else pod_identity(pod.name, pod.uid, port)), store


_STORES: Final[Mapping[str, Callable[[Settings, int], tuple[Identity, Store]]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "kubernetes": _kubernetes,
}


def create_app(
    elector: Elector, *, allowed_hosts: Iterable[str] = (), health_port: int | None = None, store_text: str = "memory"
) -> Front:
    """The application of one elector, whose life it shares: it starts and stops with the server."""
    locks = _locks_app(elector, store_text)
    return Front(locks, _health_app(elector), guard=Guard(allowed_hosts), health_port=health_port)


def _locks_app(elector: Elector, store_text: str) -> falcon.asgi.App[Any, Any]:
    app = _falcon_app()
    app.add_middleware(_Life(elector))
    app.add_route(wire.LOCKS_PATH, LockListResource(elector))
    app.add_route(wire.LOCKS_PATH + "/{name:path}", LockResource(elector))
    for resource in (SemaphoreResource, EventResource, ConditionResource, BarrierResource):
        app.add_route(resource.collection, SharedListResource(elector, resource))
        app.add_route(resource.collection + "/{name:path}", resource(elector))
    app.add_route(wire.SESSIONS_PATH + "/{client}", SessionResource(elector))
    app.add_route(wire.SESSIONS_PATH + "/{client}" + wire.STREAM_SUFFIX, StreamResource(elector))
    app.add_route(wire.OPENAPI_PATH, DescriptionResource(store_text))
    return app


def _health_app(elector: Elector) -> falcon.asgi.App[Any, Any]:
    app = _falcon_app()
    app.add_route("/healthz", LivenessResource())
    app.add_route("/readyz", ReadinessResource(elector))
    app.add_route("/metrics", MetricsResource(elector))
    return app


def _falcon_app() -> falcon.asgi.App[Any, Any]:
    app = falcon.asgi.App()
    app.add_sink(_not_routed, "/")
    app.add_error_handler(Exception, _internal_error)
    app.add_error_handler(falcon.HTTPError, _bad_method)
    app.add_error_handler(Problem, _problem)
    return app


class _Life:
    """Falcon's way to hear of the server's start and stop."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:  # noqa: ARG002 - Falcon's
        """The server is about to serve."""
        await self._elector.start()

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:  # noqa: ARG002 - Falcon's
        """The server has stopped serving."""
        await self._elector.stop()
        await self._elector.store.close()


async def _not_routed(req: Request, resp: Response | None, **_params: Any) -> None:  # noqa: ARG001 - Falcon's
    raise BadPath(req.path)


async def _problem(_req: Request, resp: Response, problem: Problem, _params: dict[str, Any]) -> None:
    resp.status = problem.status
    resp.content_type = wire.PROBLEM_TYPE
    resp.data = problem_body(problem)
    resp.set_headers(problem_headers(problem))


async def _bad_method(req: Request, resp: Response, error: falcon.HTTPError, params: dict[str, Any]) -> None:
    """Falcon itself refuses nothing else: paths end in `_not_routed`, bodies are read elsewhere."""
    allowed = dict(error.headers or {}).get("Allow", "") if isinstance(error, falcon.HTTPMethodNotAllowed) else ""
    await _problem(req, resp, BadMethod(req.method, req.path, allowed.split(", ")), params)


async def _internal_error(req: Request, resp: Response, error: Exception, params: dict[str, Any]) -> None:
    log.error("%s %s failed", req.method, req.path, exc_info=error)
    await _problem(req, resp, InternalError(), params)
