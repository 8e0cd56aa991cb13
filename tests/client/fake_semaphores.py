"""The semaphores of a fake elector."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from tests.client.fake_elector import FakeElector, Handler


@dataclass
class Record:
    limit: int
    bounded: bool
    extra: int = 0
    permits: dict[str, str] = field(default_factory=dict)
    """The client of each holder, the oldest first."""
    queue: list[str] = field(default_factory=list)
    operations: dict[str, int] = field(default_factory=dict)
    """The value that was answered."""

    @property
    def value(self) -> int:
        return self.limit + self.extra - len(self.permits)


class FakeSemaphores:
    """Each request is carried out while the elector's `changed` is held, except for its waiting."""

    def __init__(self, elector: FakeElector) -> None:
        self.elector = elector
        self.records: dict[str, Record] = {}
        elector.kinds["semaphores"] = self

    def __getitem__(self, name: str) -> Record:
        return self.records[name]

    def take(self, name: str, limit: int = 1, *, bounded: bool = False) -> None:
        """Somebody else, on another machine, has one permit more."""
        with self.elector.changed:
            record = self.records.setdefault(name, Record(limit, bounded))
            record.permits[f"other {len(record.permits)}"] = "other"

    def free(self, name: str) -> None:
        """Somebody else gives one of his back."""
        with self.elector.changed:
            permits = self.records[name].permits
            del permits[next(holder for holder, client in permits.items() if client == "other")]
            self.elector.changed.notify_all()

    def release_anonymously(self, name: str) -> None:
        """Somebody else releases what is ours."""
        with self.elector.changed:
            self._give_back(self.records[name], 1, [])

    def lose(self, name: str, holder: str | None = None, **more: Any) -> str:
        """Tell the holder of a permit (the oldest one) that it is no more."""
        with self.elector.changed:
            permits = self.records[name].permits
            holder = holder or next(iter(permits))
            client = permits.pop(holder)
            self.elector.dead.add(holder)
            loss = {"kind": "semaphore", "name": name, "holder": holder, "reason": "because of the test", **more}
            self.elector.lost.setdefault(client, {})[holder] = loss
            self.elector.push(client, {"event": "lost"} | loss)
            return holder

    def has(self, name: str, holder: str) -> bool:
        return name in self.records and holder in self.records[name].permits

    def serve(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        if handler.command == "GET":
            self._read(handler, name)
        elif handler.command == "DELETE":
            self._leave(handler, name, body["holder"])
        elif body["client"] not in self.elector.clients:
            handler.problem(409, "unknown_client")
        else:
            record = self.records.setdefault(name, Record(body["limit"], body["bounded"]))
            if (record.limit, record.bounded) != (body["limit"], body["bounded"]):
                detail = f"it has {record.limit} permits and not {body['limit']}: so says process host:17 worker.py"
                handler.problem(409, "limit_mismatch", detail=detail)
            elif handler.command == "POST":
                self._release(handler, record, body)
            else:
                self._acquire(handler, name, record, body)

    def _read(self, handler: Handler, name: str) -> None:
        if name not in self.records:
            handler.problem(404, "semaphore_unused")
            return
        record = self.records[name]
        spec = {"limit": record.limit, "bounded": record.bounded, "value": record.value, "permits": [], "waiters": 0}
        handler.answer(200, {"kind": "Semaphore", "metadata": {"name": name}, "spec": spec})

    def _leave(self, handler: Handler, name: str, holder: str) -> None:
        self.elector.dead.add(holder)
        record = self.records.get(name)
        if record is not None:
            record.permits.pop(holder, None)
            if holder in record.queue:
                record.queue.remove(holder)
            self.elector.changed.notify_all()
        handler.answer(204)

    def _release(self, handler: Handler, record: Record, body: dict[str, Any]) -> None:
        operation = body["operation"]
        if operation not in record.operations:
            if record.bounded and len(record.permits) < body["permits"]:
                handler.problem(409, "semaphore_full")
                return
            self._give_back(record, body["permits"], body["holders"])
            record.operations[operation] = record.value
        answer = {"name": handler.path, "value": record.operations[operation], "operations": len(record.operations)}
        handler.answer(200, answer)

    def _give_back(self, record: Record, count: int, holders: list[str]) -> None:
        listed = [holder for holder in holders if record.permits.pop(holder, None) is not None]
        for _ in range(count - len(listed)):
            if record.permits:
                record.permits.pop(next(iter(record.permits)))
            else:
                record.extra += 1
        self.elector.changed.notify_all()

    def _acquire(self, handler: Handler, name: str, record: Record, body: dict[str, Any]) -> None:
        elector, holder = self.elector, body["holder"]
        if holder not in record.queue:
            record.queue.append(holder)
        until = time.monotonic() + body["wait_seconds"]
        while holder not in elector.dead:
            if record.value > 0 and record.queue and record.queue[0] == holder:
                elector.tokens += 1
                record.permits[holder] = body["client"]
            if holder in record.permits:
                if holder in record.queue:
                    record.queue.remove(holder)
                elector.changed.notify_all()
                self._grant(handler, name, record, holder)
                return
            if body["wait_seconds"] == 0:
                record.queue.remove(holder)
                handler.problem(409, "no_permit")
                return
            if handler.server.is_dead:
                return
            if time.monotonic() >= until:
                handler.answer(202, {"name": name, "state": "waiting", "holder": holder})
                return
            elector.changed.wait(until - time.monotonic())
        if holder in record.queue:
            record.queue.remove(holder)
        handler.problem(409, "holder_dead")

    def _grant(self, handler: Handler, name: str, record: Record, holder: str) -> None:
        answer = {"name": name, "state": "held", "holder": holder, "token": str(self.elector.tokens)}
        validity = {"valid_seconds": self.elector.valid_seconds, "incarnation": self.elector.incarnation}
        left = {"value": record.value, "operations": len(record.operations)}
        handler.answer(200, answer | validity | left)
