"""`/locks` and `/locks/<name>`: the locks, and the original protocol, which is the same paths without a body."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from elector_server.acquisitions import Granted
from elector_server.problems import BadBody
from elector_server.resources.caller import SCOPE_KEY, Caller
from elector_server.resources.entity_tags import Known, etag, wait_preference
from elector_server.resources.parsing import id_field, metadata_field, name_in_path, parse_object, wait_field
from elector_server.resources.rendering import (
    grant_body,
    list_body,
    lock_free_body,
    record_body,
    releasing_body,
    waiting_body,
)
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

    from elector_server.elector import Elector
    from elector_server.views import LockView

_ACQUIRE_FIELDS: Final = frozenset({"client", "holder", "metadata", "wait_seconds"})
_RELEASE_FIELDS: Final = frozenset({"client", "holder"})


class LockResource:
    """One lock. An empty body means the original protocol; `{}` does not."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        """Who holds it: 200, or 404 when it is free. 304, perhaps after a while: what the caller knows."""
        name = name_in_path(name)
        known = Known(req.get_header("if-none-match"))
        wait_seconds = wait_preference(req.get_header("prefer")) if known else 0
        if wait_seconds:
            caller: Caller = req.scope[SCOPE_KEY]
            view = await self._elector.look(name, lambda view: not known.is_of(etag(view)), wait_seconds, caller)
        else:
            view = await self._elector.read_lock(name)
        resp.set_header("etag", etag(view))
        if known.is_of(etag(view)):
            resp.status = HTTPStatus.NOT_MODIFIED
        elif view is None:
            resp.status = HTTPStatus.NOT_FOUND
            resp.content_type = wire.PROBLEM_TYPE
            resp.data = lock_free_body(name)
        else:
            resp.data = record_body(view, _now())

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Acquire, and wait for it if asked to."""
        name = name_in_path(name)
        caller: Caller = req.scope[SCOPE_KEY]
        body = caller.take_body()
        if not body:
            _render_legacy(resp, await self._elector.legacy_put(name))
            return
        client, holder, wait_seconds, metadata = _acquire_fields(body, req.content_type)
        answer = await self._elector.acquire(name, client, holder, wait_seconds, caller, metadata)
        if isinstance(answer, Granted):
            resp.data = grant_body(answer)
        else:
            resp.status = HTTPStatus.ACCEPTED
            resp.data = waiting_body(answer)

    async def on_post(self, req: Request, resp: Response, name: str) -> None:
        """Create, in the original protocol."""
        name = name_in_path(name)
        caller: Caller = req.scope[SCOPE_KEY]
        if caller.take_body():
            raise BadBody("POST belongs to the original protocol and takes no body; acquire with PUT")
        _render_legacy(resp, await self._elector.legacy_post(name))

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        """Release, or leave the queue."""
        name = name_in_path(name)
        caller: Caller = req.scope[SCOPE_KEY]
        fields = parse_object(caller.take_body(), req.content_type, _RELEASE_FIELDS)
        if await self._elector.release(name, id_field(fields, "client"), id_field(fields, "holder")):
            resp.status = HTTPStatus.NO_CONTENT
        else:
            resp.status = HTTPStatus.ACCEPTED
            resp.data = releasing_body()


class LockListResource:
    """All held locks, for people."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    async def on_get(self, _req: Request, resp: Response) -> None:
        """List them."""
        resp.data = list_body(await self._elector.list_locks())


def _acquire_fields(body: bytes, content_type: str | None) -> tuple[str, str, float, str]:
    fields = parse_object(body, content_type, _ACQUIRE_FIELDS)
    return (
        id_field(fields, "client"),
        id_field(fields, "holder"),
        wait_field(fields, "wait_seconds"),
        metadata_field(fields, "metadata"),
    )


def _render_legacy(resp: Response, answer: tuple[bool, LockView | None]) -> None:
    """200 or 409, and the record that says why. 409 without a record: it changed hands while it was read."""
    taken, view = answer
    resp.status = HTTPStatus.OK if taken else HTTPStatus.CONFLICT
    resp.data = b"{}" if view is None else record_body(view, _now())


def _now() -> datetime:
    return datetime.now(UTC)
