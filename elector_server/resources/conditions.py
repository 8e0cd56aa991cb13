"""`/conditions/<name>`: enqueue, wait to be notified, withdraw, notify."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from elector_server.conditions import NOTIFIED
from elector_server.resources.parsing import flag_field, id_field, optional_count_field, wait_field
from elector_server.resources.rendering import to_bytes, waiting_for_body
from elector_server.resources.shared import SharedResource
from elector_server.rules.condition import KIND
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

_WAIT_FIELDS: Final = frozenset({"client", "holder", "enqueued", "wait_seconds"})
_WITHDRAW_FIELDS: Final = frozenset({"client", "holder", "pass_on"})
_NOTIFY_FIELDS: Final = frozenset({"client", "operation", "waiters"})


class ConditionResource(SharedResource):
    """One condition."""

    kind = KIND
    collection = wire.CONDITIONS_PATH

    async def on_put(self, req: Request, resp: Response, name: str) -> None:
        """Enqueue; or, once enqueued, wait to be notified."""
        name = self._name(name)
        fields, caller = self._fields(req, _WAIT_FIELDS)
        client, holder, enqueued = (
            id_field(fields, "client"),
            id_field(fields, "holder"),
            flag_field(fields, "enqueued"),
        )
        seconds = await self._elector.admit(wait_field(fields, "wait_seconds"))
        conditions = self._elector.conditions
        if not enqueued:
            await conditions.enqueue(name, client, holder)
        if enqueued and await conditions.wait(name, client, holder, seconds, caller):
            resp.data = to_bytes({"name": name, "state": NOTIFIED, "holder": holder})
        else:
            resp.status = HTTPStatus.ACCEPTED
            resp.data = waiting_for_body(name, holder)

    async def on_delete(self, req: Request, resp: Response, name: str) -> None:
        """Withdraw; the answer says whether it was notified just then."""
        name = self._name(name)
        fields, _ = self._fields(req, _WITHDRAW_FIELDS)
        client, holder = id_field(fields, "client"), id_field(fields, "holder")
        pass_on = "pass_on" in fields and flag_field(fields, "pass_on")
        await self._elector.admit(0.0)
        state = await self._elector.conditions.withdraw(name, client, holder, pass_on=pass_on)
        resp.data = to_bytes({"name": name, "state": state})

    async def on_post(self, req: Request, resp: Response, name: str) -> None:
        """Notify the oldest waiters."""
        name = self._name(name)
        fields, _ = self._fields(req, _NOTIFY_FIELDS)
        client, operation = id_field(fields, "client"), id_field(fields, "operation")
        waiters = optional_count_field(fields, "waiters", 1, wire.LIMIT_MAX)
        await self._elector.admit(0.0)
        notified = await self._elector.conditions.notify(name, client, operation, waiters)
        resp.data = to_bytes({"name": name, "notified": notified})
