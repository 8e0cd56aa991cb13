"""An elector that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from elector_server.acquisitions import Granted
from elector_server.resources.caller import Caller
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.lock import Lock
from elector_server.trouble import Cause
from elector_server.views import ClientStatus, LockView

CLIENT = "c" * 32
HOLDER = "d" * 32


def view(name: str = "orders", **changes: Any) -> LockView:
    """A held lock."""
    claimant = Claimant(
        hold=Hold(HOLDER, "session", 1), client=CLIENT, owner="host:1", process="host:7 python", lease_seconds=20.0
    )
    lock = Lock(claimant=claimant, acquired_at="2025-01-31T12:00:00.000Z", token=123, queue=())
    return LockView(**{"name": name, "version": 124, "lock": lock, "local_waiters": 2} | changes)


def granted(name: str = "orders", **changes: Any) -> Granted:
    """A granted lock."""
    fields = {"name": name, "holder": HOLDER, "token": 123, "valid_seconds": 11.34567, "incarnation": "s.1"}
    return Granted(**fields | changes)


def status(**changes: Any) -> ClientStatus:
    """A living session."""
    fields: dict[str, Any] = {
        "client": CLIENT,
        "incarnation": "s.1",
        "not_ready": None,
        "valid_seconds": 16.6666,
        "ttl_seconds": 30.0,
        "tick_seconds": 5.5,
        "holds": (HOLDER,),
        "lost": (),
    }
    return ClientStatus(**fields | changes)


class FakeStream:
    """A stream with the events of `events`; `closings` says who was said to have ended it."""

    def __init__(self, *events: dict[str, Any], ends: bool = True) -> None:
        self.events = list(events)
        self.ends = ends
        self.closings: list[bool] = []
        self._closed = asyncio.Event()

    async def next(self) -> dict[str, Any] | None:
        if self.events:
            return self.events.pop(0)
        if not self.ends:
            await self._closed.wait()
        return None

    def closed(self, *, by_peer: bool) -> None:
        self.closings.append(by_peer)
        self._closed.set()


class FakeStore:
    """Nothing to keep."""

    async def close(self) -> None:
        """Nothing to close."""


class FakePart:
    """What the elector does with one kind. `semaphores.acquire` is answered by `answers["semaphores_acquire"]`."""

    def __init__(self, elector: FakeElector, name: str) -> None:
        self._elector = elector
        self._name = name

    def __getattr__(self, method: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            asked = [argument for argument in (*arguments, *named.values()) if not isinstance(argument, Caller)]
            return self._elector.answer(f"{self._name}_{method}", *asked)

        return call


class FakeElector:
    """`answers[method]` is what that method returns, or raises."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[Any, ...]] = []
        self.not_ready: Cause | None = None
        self.holds = {"lock": 5, "semaphore": 2}
        self.waits = {"lock": 7, "semaphore": 1, "event": 3, "condition": 0, "barrier": 4}
        self.counters: Counter[str] = Counter(grants=3)
        self.store = FakeStore()
        kinds = {"semaphore": "semaphores", "event": "events", "condition": "conditions", "barrier": "barriers"}
        self.participants = {kind: FakePart(self, part) for kind, part in kinds.items()}
        self.semaphores, self.events, self.conditions, self.barriers = self.participants.values()

    @property
    def ready(self) -> bool:
        return self.not_ready is None

    def answer(self, method: str, *arguments: Any) -> Any:
        self.calls.append((method, *arguments))
        answer = self.answers[method]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def start(self) -> None:
        self.answer("start")

    async def stop(self) -> None:
        self.answer("stop")

    async def open_client(self, *arguments: Any) -> Any:
        return self.answer("open_client", *arguments)

    async def heartbeat(self, *arguments: Any) -> Any:
        return self.answer("heartbeat", *arguments)

    async def close_client(self, *arguments: Any) -> Any:
        return self.answer("close_client", *arguments)

    def open_stream(self, *arguments: Any) -> Any:
        return self.answer("open_stream", *arguments)

    async def acquire(
        self, name: str, client: str, holder: str, wait_seconds: float, departure: Any, metadata: str
    ) -> Any:
        said = (metadata,) if metadata else ()
        answer = self.answer("acquire", name, client, holder, wait_seconds, *said)
        return await answer(departure) if callable(answer) else answer

    async def admit(self, wait_seconds: float) -> float:
        """Everybody is let in, unless there is an answer for this."""
        if "admit" in self.answers:
            self.answer("admit", wait_seconds)
        return wait_seconds

    async def release(self, *arguments: Any) -> Any:
        return self.answer("release", *arguments)

    async def read_lock(self, *arguments: Any) -> Any:
        return self.answer("read_lock", *arguments)

    async def look(self, name: str, is_news: Any, wait_seconds: float, departure: Any) -> Any:
        answer = self.answer("look", name, wait_seconds)
        return next((view for view in answer if is_news(view)), answer[-1]) if isinstance(answer, list) else answer

    async def list_locks(self) -> Any:
        return self.answer("list_locks")

    async def legacy_put(self, *arguments: Any) -> Any:
        return self.answer("legacy_put", *arguments)

    async def legacy_post(self, *arguments: Any) -> Any:
        return self.answer("legacy_post", *arguments)
