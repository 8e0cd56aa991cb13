"""What the endpoints of semaphores, events, conditions and barriers have in common."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from elector_server.resources.caller import SCOPE_KEY, Caller
from elector_server.resources.parsing import Fields, name_in_path, parse_object
from elector_server.resources.rendering import to_bytes
from elector_server.resources.showing import list_json, record_json, unused_body
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

    from elector_server.elector import Elector


class SharedResource:
    """One primitive of a kind. Its subclasses add what can be done to it."""

    kind: ClassVar[str]
    collection: ClassVar[str]

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    async def on_get(self, _req: Request, resp: Response, name: str) -> None:
        """Show it: 200, or 404 when nobody uses it."""
        record = await self._elector.participants[self.kind].read(self._name(name))
        if record is None:
            resp.status = HTTPStatus.NOT_FOUND
            resp.content_type = wire.PROBLEM_TYPE
            resp.data = unused_body(self.kind, name)
        else:
            resp.data = to_bytes(record_json(record))

    def _name(self, name: str) -> str:
        return name_in_path(name, self.collection)

    @staticmethod
    def _fields(req: Request, known: frozenset[str]) -> tuple[Fields, Caller]:
        caller: Caller = req.scope[SCOPE_KEY]
        return parse_object(caller.take_body(), req.content_type, known), caller


class SharedListResource:
    """All primitives of a kind, for people."""

    def __init__(self, elector: Elector, resource: type[SharedResource]) -> None:
        self._elector = elector
        self._kind = resource.kind
        self._plural = resource.collection.strip("/")

    async def on_get(self, _req: Request, resp: Response) -> None:
        """List them."""
        resp.data = to_bytes(list_json(self._plural, await self._elector.participants[self._kind].list()))
