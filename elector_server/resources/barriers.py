"""`/barriers/<name>`: arrive and wait, leave, open, abort, reset."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from elector_server.barriers import ABORT, OPEN, RESET, Arrival
from elector_server.problems import BadBody
from elector_server.resources.parsing import (
    Fields,
    choice_field,
    count_field,
    flag_field,
    id_field,
    object_item,
    optional_id_field,
    wait_field,
)
from elector_server.resources.rendering import to_bytes
from elector_server.resources.shared import SharedResource
from elector_server.rules.barrier import KIND, Outcome, Place
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

_ARRIVE_FIELDS: Final = frozenset({"client", "holder", "parties", "acts", "arrived", "wait_seconds"})
_LEAVE_FIELDS: Final = frozenset({"client", "holder", "arrived"})
_CHANGE_FIELDS: Final = frozenset({"client", "operation", "parties", "transition", "holder"})
_PLACE_FIELDS: Final = frozenset({"generation", "index"})
_GENERATION_MAX: Final = 2**53 - 1


class BarrierResource(SharedResource):
    """One barrier."""

    kind = KIND
    collection = wire.BARRIERS_PATH

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Arrive, and wait for the others."""
        name = self._name(name)
        fields, caller = self._fields(req, _ARRIVE_FIELDS)
        client, holder = id_field(fields, "client"), id_field(fields, "holder")
        parties, acts, place = _parties(fields), flag_field(fields, "acts"), _place(fields)
        seconds = await self._elector.admit(wait_field(fields, "wait_seconds"))
        arrival = await self._elector.barriers.arrive(name, client, holder, parties, place, seconds, caller, acts=acts)
        resp.status = HTTPStatus.ACCEPTED if arrival.outcome is Outcome.WAITING else HTTPStatus.OK
        resp.data = to_bytes(_arrival_json(arrival))

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        """Leave before all have come."""
        name = self._name(name)
        fields, _ = self._fields(req, _LEAVE_FIELDS)
        client, holder, arrived = id_field(fields, "client"), id_field(fields, "holder"), _place(fields)
        await self._elector.admit(0.0)
        outcome, place = await self._elector.barriers.leave(name, client, holder, arrived)
        index = None if place is None else place.index
        resp.data = to_bytes({"name": name, "state": outcome.value, "index": index})

    async def on_post(self, req: Request, resp: Response, name: str) -> None:
        """Open it after the action, abort it, or reset it."""
        name = self._name(name)
        fields, _ = self._fields(req, _CHANGE_FIELDS)
        client, operation, parties = id_field(fields, "client"), id_field(fields, "operation"), _parties(fields)
        transition = choice_field(fields, "transition", (OPEN, ABORT, RESET))
        holder = optional_id_field(fields, "holder")
        if transition == OPEN and holder is None:
            raise BadBody('field holder is missing: only the party that acts can "open" the barrier')
        await self._elector.admit(0.0)
        barrier = await self._elector.barriers.change(name, client, operation, parties, transition, holder)
        body = {
            "name": name,
            "state": barrier.state.value,
            "waiting": barrier.waiting,
            "generation": barrier.generation,
        }
        resp.data = to_bytes(body)


def _parties(fields: Fields) -> int:
    return count_field(fields, "parties", 1, wire.PARTIES_MAX)


def _place(fields: Fields) -> Place | None:
    if fields.get("arrived") is None:
        return None
    place = object_item(fields["arrived"], "arrived", _PLACE_FIELDS)
    return Place(count_field(place, "generation", 0, _GENERATION_MAX), count_field(place, "index", 0, wire.LIMIT_MAX))


def _arrival_json(arrival: Arrival) -> dict[str, object]:
    return {
        "name": arrival.name,
        "state": arrival.outcome.value,
        "holder": arrival.holder,
        "generation": arrival.place.generation,
        "index": arrival.place.index,
    }
