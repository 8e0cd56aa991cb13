"""The barriers of a fake elector."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from tests.client.fake_elector import FakeElector, Handler


@dataclass
class Record:
    parties: int
    generation: int = 0
    state: str = "filling"
    arrived: list[str] = field(default_factory=list)
    acting: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)
    """What became of each party: `passed` or `broken`."""
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    operations: set[str] = field(default_factory=set)

    @property
    def waiting(self) -> int:
        return len(self.arrived) if self.state == "filling" else 0

    def open(self) -> None:
        self._end("passed")

    def end(self, state: str) -> None:
        self._end("broken")
        self.state = state

    def _end(self, outcome: str) -> None:
        self.outcomes.update(dict.fromkeys(self.arrived, outcome))
        self.arrived.clear()
        self.acting, self.state = "", "filling"
        self.generation += 1


class FakeBarriers:
    """Each request is carried out while the elector's `changed` is held, except for its waiting."""

    def __init__(self, elector: FakeElector) -> None:
        self.elector = elector
        self.records: dict[str, Record] = {}
        elector.kinds["barriers"] = self

    def __getitem__(self, name: str) -> Record:
        return self.records[name]

    def arrive(self, name: str, parties: int) -> None:
        """Somebody else, on another machine, arrives, and has no action."""
        with self.elector.changed:
            record = self.records.setdefault(name, Record(parties))
            self._place(record, f"other {len(record.places)}", acts=False)

    def abort(self, name: str) -> None:
        """Somebody else does."""
        with self.elector.changed:
            self.records[name].end("broken")
            self.elector.changed.notify_all()

    def serve(self, handler: Handler, name: str, body: dict[str, Any]) -> None:
        if handler.command == "GET":
            self._read(handler, name)
        elif body["client"] not in self.elector.clients:
            handler.problem(409, "unknown_client")
        elif handler.command == "DELETE":
            self._leave(handler, name, body["holder"])
        else:
            record = self.records.setdefault(name, Record(body["parties"]))
            if record.parties != body["parties"]:
                detail = f"it has {record.parties} parties and not {body['parties']}: so says process host:17 worker.py"
                handler.problem(409, "parties_mismatch", detail=detail)
            elif handler.command == "POST":
                self._change(handler, record, body)
            else:
                self._wait(handler, record, body)

    def _read(self, handler: Handler, name: str) -> None:
        if name not in self.records:
            handler.problem(404, "barrier_unused")
            return
        record = self.records[name]
        spec = {"parties": record.parties, "state": record.state}
        spec |= {"generation": record.generation, "waiting": record.waiting}
        handler.answer(200, {"kind": "Barrier", "metadata": {"name": name}, "spec": spec})

    def _change(self, handler: Handler, record: Record, body: dict[str, Any]) -> None:
        transition = body["transition"]
        if body["operation"] not in record.operations:
            if transition == "open" and record.acting != body["holder"]:
                handler.problem(409, "barrier_broken")
                return
            record.operations.add(body["operation"])
            if transition == "open":
                record.open()
            else:
                record.end("broken" if transition == "abort" else "filling")
            self.elector.changed.notify_all()
        handler.answer(200, {"state": record.state, "waiting": record.waiting, "generation": record.generation})

    def _leave(self, handler: Handler, name: str, holder: str) -> None:
        record = self.records.get(name)
        if record is not None and holder in record.arrived:
            record.end("broken")
            self.elector.changed.notify_all()
        outcome = "broken" if record is None else record.outcomes.get(holder, "broken")
        handler.answer(200, {"state": outcome, "index": None})

    def _place(self, record: Record, holder: str, *, acts: bool) -> None:
        record.places[holder] = (record.generation, len(record.arrived))
        record.arrived.append(holder)
        if len(record.arrived) == record.parties:
            if acts:
                record.state, record.acting = "acting", holder
            else:
                record.open()
            self.elector.changed.notify_all()

    def _wait(self, handler: Handler, record: Record, body: dict[str, Any]) -> None:
        elector, holder = self.elector, body["holder"]
        until = time.monotonic() + body["wait_seconds"]
        while holder not in record.places and record.state == "acting":
            elector.changed.wait(until - time.monotonic())
        if holder not in record.places:
            if record.state == "broken":
                handler.problem(409, "barrier_broken")
                return
            self._place(record, holder, acts=body["acts"])
        while holder not in record.outcomes and record.acting != holder:
            left = until - time.monotonic()
            if handler.server.is_dead:
                return
            if left <= 0:
                self._answer(handler, record, holder, 202, "waiting")
                return
            elector.changed.wait(left)
        outcome = record.outcomes.get(holder, "acting")
        if outcome == "broken":
            handler.problem(409, "barrier_broken")
        else:
            self._answer(handler, record, holder, 200, outcome)

    @staticmethod
    def _answer(handler: Handler, record: Record, holder: str, status: int, state: str) -> None:
        generation, index = record.places[holder]
        handler.answer(status, {"state": state, "holder": holder, "generation": generation, "index": index})
