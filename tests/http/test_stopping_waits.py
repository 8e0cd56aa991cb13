"""A stop ends every wait at once, whatever it is for: a real elector in virtual time."""

from __future__ import annotations

from typing import Any

from metaparticle_sync import wire
from tests.http.in_process import InProcess, in_virtual_time


def _waits(elector: InProcess, ticket: str) -> dict[str, dict[str, Any]]:
    """A request for each kind that has to wait."""
    client = {"client": elector.client, "wait_seconds": 25}
    return {
        "/locks/x": client | {"holder": wire.new_id()},
        "/semaphores/x": client | {"holder": wire.new_id(), "limit": 0, "bounded": False},
        "/conditions/x": client | {"holder": ticket, "enqueued": True},
        "/barriers/x": client | {"holder": wire.new_id(), "parties": 2, "acts": False},
    }


@in_virtual_time
async def test_whoever_waits_is_told_at_once(elector: InProcess) -> None:
    ticket = wire.new_id()
    await elector.ask("PUT", "/locks/x", {"client": elector.client, "holder": wire.new_id()})
    await elector.ask("PUT", "/conditions/x", {"client": elector.client, "holder": ticket, "enqueued": False})
    waits = _waits(elector, ticket)
    waiting = [elector.begin("PUT", path, body) for path, body in waits.items()]
    waiting.append(elector.begin("POST", "/events/x", {"client": elector.client, "wait_seconds": 25}))
    await elector.sleep(2)
    assert not any(request.done() for request in waiting)
    elector.elector.begin_stop()
    for request in waiting:
        answer = await request
        assert (answer.status, answer.code) == (503, "elector_stopping")
    assert elector.now() < 3
    for path, body in waits.items():
        assert (await elector.ask("PUT", path, body)).code == "elector_stopping"


@in_virtual_time
async def test_a_permit_can_be_given_back_until_the_end(elector: InProcess) -> None:
    holder = wire.new_id()
    acquire = {"client": elector.client, "holder": holder, "limit": 1, "bounded": False}
    await elector.ask("PUT", "/semaphores/x", acquire)
    elector.elector.begin_stop()
    given_up = await elector.ask("DELETE", "/semaphores/x", {"client": elector.client, "holder": holder})
    assert given_up.status == 204
    await elector.elector.stop()
    again = elector.another("here")
    await again.start()
    assert (await again.ask("GET", "/semaphores/x")).json["spec"]["held"] == 0
