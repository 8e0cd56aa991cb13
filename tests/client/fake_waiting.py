"""The events and conditions of a fake elector."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from metaparticle_sync import Condition
from tests.client.fake_elector import FakeElector, Handler
from tests.client.in_threads import InThread


class _Kind:
    """Each request is carried out while the elector's `changed` is held, except for its waiting."""

    kind: str

    def __init__(self, elector: FakeElector) -> None:
        self.elector = elector
        self.operations: dict[str, dict[str, Any]] = {}
        """What was answered to each one-shot operation."""
        elector.kinds[f"{self.kind}s"] = self

    def has(self, name: str, holder: str) -> bool:
        raise AssertionError(f"nobody holds {name} ({holder})")

    def serve(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        if handler.command != "GET" and body["client"] not in self.elector.clients:
            handler.problem(409, "unknown_client")
            return
        getattr(self, handler.command.lower())(handler, name, body)

    def once(self, handler: Handler, body: dict[str, Any], act: Callable[[], dict[str, Any]]) -> None:
        if body["operation"] not in self.operations:
            self.operations[body["operation"]] = act()
            self.elector.changed.notify_all()
        handler.answer(200, self.operations[body["operation"]])

    def wait(self, handler: Handler, seconds: float, is_over: Callable[[], bool]) -> bool:
        """Whether it is over in that time; the answer is none if the elector died."""
        until = time.monotonic() + seconds
        while not is_over() and not handler.server.is_dead and time.monotonic() < until:
            self.elector.changed.wait(max(0.0, until - time.monotonic()))
        return is_over()


class FakeEvents(_Kind):
    kind = "event"

    def __init__(self, elector: FakeElector) -> None:
        super().__init__(elector)
        self.flags: dict[str, bool] = {}
        self.generations: dict[str, int] = {}

    def set(self, name: str) -> None:
        """Somebody else, on another machine, sets it."""
        with self.elector.changed:
            self._change(name, is_set=True)
            self.elector.changed.notify_all()

    def set_and_clear(self, name: str) -> None:
        with self.elector.changed:
            self._change(name, is_set=True)
            self._change(name, is_set=False)
            self.elector.changed.notify_all()

    def _change(self, name: str, *, is_set: bool) -> dict[str, Any]:
        self.flags[name] = is_set
        self.generations[name] = self.generations.get(name, 0) + is_set
        return self._state(name)

    def _state(self, name: str, *, passed: bool = False) -> dict[str, Any]:
        is_set = passed or self.flags.get(name, False)
        return {"name": name, "is_set": is_set, "generation": self.generations.get(name, 0)}

    def get(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        if name not in self.flags:
            handler.problem(404, "event_unused")
            return
        spec = {"isSet": self.flags[name], "generation": self.generations[name]}
        handler.answer(200, {"kind": "Event", "metadata": {"name": name}, "spec": spec})

    def put(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        assert body.keys() == {"client", "operation", "is_set"}
        self.once(handler, body, lambda: self._change(name, is_set=body["is_set"]))

    def post(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        assert body.keys() == {"client", "generation", "wait_seconds"}
        since = self.generations.get(name, 0) if body["generation"] is None else body["generation"]
        passed = self.wait(
            handler,
            body["wait_seconds"],
            lambda: self.flags.get(name, False) or self.generations.get(name, 0) != since,
        )
        handler.answer(200 if passed else 202, self._state(name, passed=passed))


class FakeConditions(_Kind):
    kind = "condition"

    def __init__(self, elector: FakeElector) -> None:
        super().__init__(elector)
        self.tickets: dict[str, dict[str, bool]] = {}
        """By name and holder id, the oldest first, whether it was notified."""

    def of(self, name: str) -> dict[str, bool]:
        return self.tickets.setdefault(name, {})

    def waiting(self, name: str) -> int:
        return sum(not notified for notified in self.of(name).values())

    def notify(self, name: str, number: int = 1) -> int:
        """Somebody else, on another machine, notifies."""
        with self.elector.changed:
            chosen = [holder for holder, notified in self.of(name).items() if not notified][:number]
            self.of(name).update(dict.fromkeys(chosen, True))
            self.elector.changed.notify_all()
            return len(chosen)

    def put(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        assert body.keys() == {"client", "holder", "enqueued", "wait_seconds"}
        tickets, holder = self.of(name), body["holder"]
        if not body["enqueued"]:
            tickets.setdefault(holder, False)
            self.elector.changed.notify_all()
        is_notified = body["enqueued"] and self.wait(handler, body["wait_seconds"], lambda: tickets.get(holder, True))
        if is_notified:
            tickets.pop(holder, None)
        state = "notified" if is_notified else "waiting"
        handler.answer(200 if is_notified else 202, {"name": name, "state": state, "holder": holder})

    def delete(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        assert body.keys() == {"client", "holder", "pass_on"}
        was_notified = self.of(name).pop(body["holder"], True)  # It may have been told before, and not have heard it.
        if was_notified and body["pass_on"]:
            self.notify(name)
        state = "notified" if was_notified and not body["pass_on"] else "withdrawn"
        handler.answer(200, {"name": name, "state": state})

    def post(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        assert body.keys() == {"client", "operation", "waiters"}
        number = len(self.of(name)) if body["waiters"] is None else body["waiters"]
        self.once(handler, body, lambda: {"name": name, "notified": self.notify(name, number)})


def asked(elector: FakeElector) -> list[str]:
    """What was asked of the lock and the condition, in order."""
    words = {"PUT": "enqueue", "POST": "notify", "DELETE": "withdraw"}
    lock_words = {"PUT": "acquire", "DELETE": "release"}
    steps = []
    for request in elector.requests:
        if request.path.startswith("/locks"):
            steps.append(lock_words[request.method])
        elif request.path.startswith("/conditions"):
            is_wait = request.method == "PUT" and request.body["enqueued"]
            steps.append("wait" if is_wait else words[request.method])
    return steps


def waiting_in_thread(condition: Condition, timeout: float | None = None) -> InThread:
    def wait() -> tuple[bool, bool]:
        with condition:
            return condition.wait(timeout), condition._is_owned()

    return InThread(wait)
