"""`/sessions/<client>` and its stream: one application process, its heartbeats, and what it has to be told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from elector_server.client_sessions import PresentedHold
from elector_server.resources.caller import SCOPE_KEY, Caller
from elector_server.resources.parsing import (
    choice_field,
    client_in_path,
    id_field,
    ids_field,
    incarnation_field,
    list_field,
    name_field,
    object_item,
    parse_object,
    stream_field,
    text_field,
    token_field,
)
from elector_server.resources.rendering import line, status_body
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

    from elector_server.clients import ClientStream
    from elector_server.elector import Elector

HOLD_KINDS: Final = ("lock", "semaphore")

_OPEN_FIELDS: Final = frozenset({"holds", "process", "stream"})
_HEARTBEAT_FIELDS: Final = frozenset({"acknowledged", "stream"})
_HOLD_FIELDS: Final = frozenset({"kind", "name", "holder", "token"})


class SessionResource:
    """One client session."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    async def on_put(self, req: Request, resp: Response, client: str) -> None:
        """Open it, or go on with it after the elector was away."""
        client = client_in_path(client)
        caller: Caller = req.scope[SCOPE_KEY]
        fields = parse_object(caller.take_body(), req.content_type, _OPEN_FIELDS)
        process = text_field(fields, "process", wire.PROCESS_CHARACTERS_MAX)
        holds = [_presented(item, f"holds[{index}]") for index, item in enumerate(list_field(fields, "holds"))]
        stream = stream_field(fields, "stream")
        resp.data = status_body(await self._elector.open_client(client, process, holds, stream))

    async def on_post(self, req: Request, resp: Response, client: str) -> None:
        """A heartbeat."""
        client = client_in_path(client)
        caller: Caller = req.scope[SCOPE_KEY]
        fields = parse_object(caller.take_body(), req.content_type, _HEARTBEAT_FIELDS)
        acknowledged, stream = ids_field(fields, "acknowledged"), stream_field(fields, "stream")
        resp.data = status_body(await self._elector.heartbeat(client, acknowledged, stream))

    async def on_delete(self, _req: Request, resp: Response, client: str) -> None:
        """End it: everything it holds is released."""
        await self._elector.close_client(client_in_path(client))
        resp.status = HTTPStatus.NO_CONTENT


class StreamResource:
    """The stream of one client session."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    async def on_get(self, req: Request, resp: Response, client: str) -> None:
        """Send events until one of both sides ends it."""
        caller: Caller = req.scope[SCOPE_KEY]
        stream = self._elector.open_stream(client_in_path(client), caller.peer)
        resp.content_type = wire.STREAM_TYPE
        resp.stream = _lines(stream, caller)


async def _lines(stream: ClientStream, caller: Caller) -> AsyncIterator[bytes]:
    departure = asyncio.ensure_future(_tell_departure(stream, caller))
    try:
        while (event := await stream.next()) is not None:
            yield line(event)
    finally:
        departure.cancel()
        # After the peer's own end this says nothing new; the elector listens to the first of the two.
        stream.closed(by_peer=False)


async def _tell_departure(stream: ClientStream, caller: Caller) -> None:
    await caller.wait()
    stream.closed(by_peer=True)


def _presented(item: object, place: str) -> PresentedHold:
    fields = object_item(item, place, _HOLD_FIELDS, optional=frozenset({"incarnation"}))
    return PresentedHold(
        name=name_field(fields, "name"),
        holder=id_field(fields, "holder"),
        token=token_field(fields, "token"),
        kind=choice_field(fields, "kind", HOLD_KINDS),
        incarnation=incarnation_field(fields),
    )
