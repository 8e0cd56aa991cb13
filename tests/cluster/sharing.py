"""What an application asks its elector about semaphores, events, conditions and barriers, in the bare protocol."""

from __future__ import annotations

from typing import Any, Final

from metaparticle_sync import wire
from tests.processes.raw_client import Answer, Pending, RawClient

PARK_SECONDS: Final = 20.0
"""How long a request waits that is to be answered by what somebody else does."""


class Sharing:
    """One process. Each of its requests is one step; those that `begin` are answered when something happens."""

    def __init__(self, client: RawClient) -> None:
        self.client = client

    def acquire(self, name: str, holder: str, limit: int, *, bounded: bool = False) -> Answer:
        return self.begin_to_acquire(name, holder, limit, 0, bounded=bounded).answer()

    def begin_to_acquire(
        self, name: str, holder: str, limit: int, wait_seconds: float = PARK_SECONDS, *, bounded: bool = False
    ) -> Pending:
        body = {"holder": holder, "limit": limit, "bounded": bounded, "wait_seconds": wait_seconds}
        return self._send("PUT", wire.SEMAPHORES_PATH, name, body)

    def release(
        self, name: str, *holders: str, limit: int, permits: int = 1, bounded: bool = False, operation: str = ""
    ) -> Answer:
        body = {"operation": operation or wire.new_id(), "limit": limit, "bounded": bounded, "permits": permits}
        return self._send("POST", wire.SEMAPHORES_PATH, name, body | {"holders": list(holders)}).answer()

    def put(self, name: str, *, is_set: bool, operation: str = "") -> Answer:
        body = {"operation": operation or wire.new_id(), "is_set": is_set}
        return self._send("PUT", wire.EVENTS_PATH, name, body).answer()

    def begin_to_wait(self, name: str, wait_seconds: float = PARK_SECONDS, generation: int | None = None) -> Pending:
        return self._send("POST", wire.EVENTS_PATH, name, {"generation": generation, "wait_seconds": wait_seconds})

    def enqueue(self, name: str, holder: str) -> Answer:
        body = {"holder": holder, "enqueued": False, "wait_seconds": 0}
        return self._send("PUT", wire.CONDITIONS_PATH, name, body).answer()

    def begin_to_be_notified(self, name: str, holder: str, wait_seconds: float = PARK_SECONDS) -> Pending:
        body = {"holder": holder, "enqueued": True, "wait_seconds": wait_seconds}
        return self._send("PUT", wire.CONDITIONS_PATH, name, body)

    def notify(self, name: str, waiters: int | None, operation: str = "") -> Answer:
        body = {"operation": operation or wire.new_id(), "waiters": waiters}
        return self._send("POST", wire.CONDITIONS_PATH, name, body).answer()

    def arrive(self, name: str, holder: str, parties: int, *, acts: bool = False) -> Answer:
        """It is there, and does not wait for the others yet."""
        return self.begin_to_pass(name, holder, parties, None, 0, acts=acts).answer()

    def begin_to_pass(
        self,
        name: str,
        holder: str,
        parties: int,
        arrived: dict[str, int] | None = None,
        wait_seconds: float = PARK_SECONDS,
        *,
        acts: bool = False,
    ) -> Pending:
        body = {"holder": holder, "parties": parties, "acts": acts, "arrived": arrived, "wait_seconds": wait_seconds}
        return self._send("PUT", wire.BARRIERS_PATH, name, body)

    def change(
        self, name: str, transition: str, parties: int, holder: str | None = None, operation: str = ""
    ) -> Answer:
        body = {"operation": operation or wire.new_id(), "parties": parties, "transition": transition, "holder": holder}
        return self._send("POST", wire.BARRIERS_PATH, name, body).answer()

    def _send(self, method: str, collection: str, name: str, body: dict[str, Any]) -> Pending:
        return self.client.send(method, wire.path_of(collection, name), {"client": self.client.id} | body)
