"""`/semaphores/<name>`: acquire, release, give up."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from elector_server.problems import BadBody
from elector_server.resources.parsing import (
    Fields,
    count_field,
    flag_field,
    id_field,
    ids_field,
    incarnation_field,
    optional_count_field,
    wait_field,
)
from elector_server.resources.rendering import permit_body, released_body, releasing_body, waiting_for_body
from elector_server.resources.shared import SharedResource
from elector_server.rules.semaphore import KIND, Terms
from elector_server.semaphores import Heard
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

_ACQUIRE_FIELDS: Final = frozenset({"client", "holder", "limit", "bounded", "wait_seconds"})
_RELEASE_FIELDS: Final = frozenset(
    {"client", "operation", "limit", "bounded", "permits", "holders", "incarnation", "operations"}
)
_GIVE_UP_FIELDS: Final = frozenset({"client", "holder"})

_OPERATIONS_MAX: Final = 2**53 - 1
"""As far as every JSON parser counts exactly."""


class SemaphoreResource(SharedResource):
    """One semaphore."""

    kind = KIND
    collection = wire.SEMAPHORES_PATH

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Acquire a permit, and wait for it if asked to."""
        name = self._name(name)
        fields, caller = self._fields(req, _ACQUIRE_FIELDS)
        client, holder, terms = id_field(fields, "client"), id_field(fields, "holder"), _terms(fields)
        seconds = await self._elector.admit(wait_field(fields, "wait_seconds"))
        granted = await self._elector.semaphores.acquire(name, client, holder, terms, seconds, caller)
        if granted is None:
            resp.status = HTTPStatus.ACCEPTED
            resp.data = waiting_for_body(name, holder)
        else:
            resp.data = permit_body(granted)

    async def on_post(self, req: Request, resp: Response, name: str) -> None:
        """Release permits: those of the holders named first, then anybody's, then new ones."""
        name = self._name(name)
        fields, _ = self._fields(req, _RELEASE_FIELDS)
        client, operation, terms = id_field(fields, "client"), id_field(fields, "operation"), _terms(fields)
        permits, holders = count_field(fields, "permits", 1, wire.PERMITS_MAX), ids_field(fields, "holders")
        if len(holders) > permits:
            raise BadBody(f"field holders names {len(holders)} permits and only {permits} are to be released")
        heard = _heard(fields)
        await self._elector.admit(0.0)
        release = self._elector.semaphores.release
        resp.data = released_body(await release(name, client, operation, terms, permits, holders, heard))

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        """Give up one acquisition, whether it holds or waits."""
        name = self._name(name)
        fields, _ = self._fields(req, _GIVE_UP_FIELDS)
        if await self._elector.semaphores.give_up(name, id_field(fields, "client"), id_field(fields, "holder")):
            resp.status = HTTPStatus.NO_CONTENT
        else:
            resp.status = HTTPStatus.ACCEPTED
            resp.data = releasing_body()


def _heard(fields: Fields) -> Heard | None:
    operations = optional_count_field(fields, "operations", 0, _OPERATIONS_MAX)
    incarnation = incarnation_field(fields)
    return Heard(incarnation, operations or 0) if incarnation else None


def _terms(fields: Fields) -> Terms:
    return Terms(count_field(fields, "limit", 0, wire.LIMIT_MAX), flag_field(fields, "bounded"))
