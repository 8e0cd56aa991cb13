"""What the metrics say of semaphores, events, conditions and barriers: a real elector in virtual time."""

from __future__ import annotations

from typing import Any

from elector_server.health import COUNTERS
from metaparticle_sync import wire
from tests.http.in_process import InProcess, in_virtual_time

NOBODY = {"lock": 0, "semaphore": 0, "event": 0, "condition": 0, "barrier": 0}


def _body(elector: InProcess, **fields: Any) -> dict[str, Any]:
    return {"client": elector.client, "holder": wire.new_id()} | fields


def _operation(elector: InProcess, **fields: Any) -> dict[str, Any]:
    return {"client": elector.client, "operation": wire.new_id()} | fields


def counted(elector: InProcess) -> dict[str, int]:
    """The counters that are not those of the session."""
    assert elector.elector.counters.keys() <= COUNTERS.keys()
    return {
        name: count
        for name, count in elector.elector.counters.items()
        if name not in {"renewals", "sessions", "writes"}
    }


@in_virtual_time
async def test_permits_are_holds_and_waits(elector: InProcess) -> None:
    acquire = {"limit": 1, "bounded": False}
    held = _body(elector, **acquire)
    await elector.ask("PUT", "/semaphores/gpu", held)
    await elector.ask("PUT", "/locks/orders", _body(elector))
    waiting = elector.begin("PUT", "/semaphores/gpu", _body(elector, wait_seconds=5, **acquire))
    await elector.sleep(1)
    assert elector.elector.holds == {"lock": 1, "semaphore": 1}
    assert elector.elector.waits == NOBODY | {"semaphore": 1}
    await elector.ask("POST", "/semaphores/gpu", _operation(elector, permits=1, holders=[held["holder"]], **acquire))
    await waiting
    assert (elector.elector.holds["semaphore"], elector.elector.waits) == (1, NOBODY)
    assert counted(elector) == {"grants": 3}


@in_virtual_time
async def test_waits_for_events_and_sets(elector: InProcess) -> None:
    waiting = elector.begin("POST", "/events/go", {"client": elector.client, "wait_seconds": 5})
    await elector.sleep(1)
    assert elector.elector.waits == NOBODY | {"event": 1}
    await elector.ask("PUT", "/events/go", _operation(elector, is_set=False))
    await elector.ask("PUT", "/events/go", _operation(elector, is_set=True))
    await waiting
    assert elector.elector.waits == NOBODY
    assert counted(elector) == {"sets": 1}


@in_virtual_time
async def test_waits_for_notifications(elector: InProcess) -> None:
    waiters = [_body(elector, enqueued=False) for _ in range(3)]
    for waiter in waiters:
        await elector.ask("PUT", "/conditions/queue", waiter)
    assert elector.elector.waits == NOBODY | {"condition": 3}
    await elector.ask("POST", "/conditions/queue", _operation(elector, waiters=2))
    for waiter in waiters[:2]:
        await elector.ask("PUT", "/conditions/queue", waiter | {"enqueued": True})
    assert elector.elector.waits == NOBODY | {"condition": 1}
    assert counted(elector) == {"notifications": 2}


@in_virtual_time
async def test_parties_that_pass_and_break(elector: InProcess) -> None:
    first, last, late = (_body(elector, parties=2, acts=True) for _ in range(3))
    await elector.ask("PUT", "/barriers/phase", first)
    assert elector.elector.waits == NOBODY | {"barrier": 1}
    await elector.ask("PUT", "/barriers/phase", last)
    opening = _operation(elector, parties=2, transition="open", holder=last["holder"])
    await elector.ask("POST", "/barriers/phase", opening)
    await elector.ask("PUT", "/barriers/phase", first)
    assert counted(elector) == {"barrier_passes": 2}
    await elector.ask("PUT", "/barriers/phase", late)
    await elector.ask("POST", "/barriers/phase", _operation(elector, parties=2, transition="abort"))
    await elector.ask("PUT", "/barriers/phase", late)
    assert elector.elector.waits == NOBODY
    assert counted(elector) == {"barrier_passes": 2, "barrier_breaks": 1}


@in_virtual_time
async def test_confirmed_permits(elector: InProcess) -> None:
    body = _body(elector, limit=1, bounded=False)
    token = (await elector.ask("PUT", "/semaphores/gpu", body)).json["token"]
    await elector.crash()
    again = elector.another("here")
    await again.elector.start()
    hold = {"kind": "semaphore", "name": "gpu", "holder": body["holder"], "token": token}
    await again.open(elector.client, holds=[hold])
    assert again.elector.holds == {"lock": 0, "semaphore": 1}
    assert counted(again) == {"confirmations": 1}
