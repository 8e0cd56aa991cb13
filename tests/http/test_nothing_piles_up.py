"""An elector keeps nothing of names that nobody uses any more: a real elector in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from elector_server.store import Record
from metaparticle_sync import wire
from tests.http.in_process import InProcess, in_virtual_time

NAMES = 5
TERMS = {"limit": 1, "bounded": True}
PARTIES = {"parties": 2, "acts": False}

FRESH_HOLDER: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a permit that is given up and was never held": ("DELETE", "/semaphores/x", {}),
    "a wait without a ticket": ("PUT", "/conditions/x", {"enqueued": True}),
    "a withdrawal without a ticket": ("DELETE", "/conditions/x", {}),
    "a party that leaves and never came": ("DELETE", "/barriers/x", {}),
    "an opening by nobody": (
        "POST",
        "/barriers/x",
        {"parties": 2, "transition": "open", "operation": "0" * 32},
    ),
}
OF_A_CLIENT: dict[str, tuple[str, str, dict[str, Any]]] = {
    "one look at an event": ("POST", "/events/x", {}),
    "a wait for an event": ("POST", "/events/x", {"wait_seconds": 0.1}),
    "an event that is set": ("PUT", "/events/x", {"operation": "0" * 32, "is_set": True}),
    "a notification": ("POST", "/conditions/x", {"operation": "0" * 32}),
    "a release": ("POST", "/semaphores/x", {"operation": "0" * 32, "permits": 1} | TERMS),
}
REFUSED_HOLDER: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a permit": ("PUT", "/semaphores/x", TERMS),
    "a ticket": ("PUT", "/conditions/x", {"enqueued": False}),
    "an arrival": ("PUT", "/barriers/x", PARTIES),
}


async def _ask_all(elector: InProcess, method: str, path: str, body: dict[str, Any]) -> None:
    for number in range(NAMES):
        await elector.ask(method, f"{path}{number}", body | {"client": elector.client})
    await elector.sleep(1)
    await elector.heartbeat()  # What it was told, it has heard.
    await elector.sleep(5)


@pytest.mark.parametrize("case", [*FRESH_HOLDER, *OF_A_CLIENT])
def test_what_leaves_nothing_here(case: str) -> None:
    method, path, body = (FRESH_HOLDER | OF_A_CLIENT)[case]

    @in_virtual_time
    async def scenario(elector: InProcess) -> None:
        holder = {"holder": wire.new_id()} if case in FRESH_HOLDER else {}
        await _ask_all(elector, method, path, body | holder)
        assert elector.elector.records == {}

    scenario()


@pytest.mark.parametrize("case", REFUSED_HOLDER)
def test_a_holder_id_that_is_refused_leaves_nothing(case: str) -> None:
    method, path, body = REFUSED_HOLDER[case]

    @in_virtual_time
    async def scenario(elector: InProcess) -> None:
        dead, in_use = wire.new_id(), wire.new_id()
        lock = {"client": elector.client, "holder": in_use}
        await elector.ask("PUT", "/locks/x", lock)
        await elector.ask("DELETE", "/semaphores/x", {"client": elector.client, "holder": dead})
        for holder in (dead, in_use):
            await _ask_all(elector, method, path, body | {"holder": holder})
        assert elector.elector.records == {}

    scenario()


@in_virtual_time
async def test_a_read_that_takes_its_time_leaves_nothing(elector: InProcess) -> None:
    read = elector.store.get

    async def late(kind: str, name: str) -> Record | None:
        await elector.sleep(0.1)
        return await read(kind, name)

    elector.store.get = late  # type: ignore[method-assign]
    await _ask_all(elector, "POST", "/events/x", {})
    assert elector.elector.records == {}


@in_virtual_time
async def test_what_was_used_leaves_nothing(elector: InProcess) -> None:
    permit, ticket, party = wire.new_id(), wire.new_id(), wire.new_id()
    client = {"client": elector.client}
    await elector.ask("PUT", "/semaphores/x", client | {"holder": permit} | TERMS)
    await elector.ask("PUT", "/conditions/x", client | {"holder": ticket, "enqueued": False})
    await elector.ask("PUT", "/barriers/x", client | {"holder": party} | PARTIES)
    assert sorted(elector.elector.records) == [("barrier", "x"), ("condition", "x"), ("semaphore", "x")]
    await elector.ask("DELETE", "/semaphores/x", client | {"holder": permit})
    await elector.ask("DELETE", "/conditions/x", client | {"holder": ticket})
    await elector.ask("DELETE", "/barriers/x", client | {"holder": party})
    await elector.sleep(5)
    assert elector.elector.records == {}


@in_virtual_time
async def test_permits_that_nobody_knows_leave_nothing(elector: InProcess) -> None:
    holds = [
        {"kind": "semaphore", "name": f"x{number}", "holder": wire.new_id(), "token": "7"} for number in range(NAMES)
    ]
    status = (await elector.open(elector.client, holds=holds)).json
    assert len(status["lost"]) == NAMES
    await elector.sleep(5)
    assert elector.elector.records == {}
