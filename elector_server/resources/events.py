"""`/events/<name>`: set, clear, wait."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from elector_server.resources.parsing import flag_field, id_field, optional_count_field, wait_field
from elector_server.resources.rendering import to_bytes
from elector_server.resources.shared import SharedResource
from elector_server.rules.event import KIND
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

_PUT_FIELDS: Final = frozenset({"client", "operation", "is_set"})
_WAIT_FIELDS: Final = frozenset({"client", "generation", "wait_seconds"})
_GENERATION_MAX: Final = 2**53 - 1


class EventResource(SharedResource):
    """One event."""

    kind = KIND
    collection = wire.EVENTS_PATH

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Set or clear it."""
        name = self._name(name)
        fields, _ = self._fields(req, _PUT_FIELDS)
        client, operation = id_field(fields, "client"), id_field(fields, "operation")
        is_set = flag_field(fields, "is_set")
        await self._elector.admit(0.0)
        event = await self._elector.events.put(name, client, operation, is_set=is_set)
        resp.data = to_bytes(event._asdict())

    async def on_post(self, req: Request, resp: Response, name: str) -> None:
        """Wait until it is set, or was set since a generation."""
        name = self._name(name)
        fields, caller = self._fields(req, _WAIT_FIELDS)
        client, since = id_field(fields, "client"), optional_count_field(fields, "generation", 0, _GENERATION_MAX)
        seconds = await self._elector.admit(wait_field(fields, "wait_seconds"))
        event = await self._elector.events.wait(name, client, since, seconds, caller)
        resp.status = HTTPStatus.OK if event.is_set else HTTPStatus.ACCEPTED
        resp.data = to_bytes(event._asdict())
