"""The shared store of a run, and the complete list of what was written to it: the truth that invariants judge by."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from elector_server.store import Listing, Record, Spec, Store, Watch
from tests.simulation.virtual_loop import VirtualLoop

T = TypeVar("T")
Verb = Literal["get", "list", "create", "replace", "delete"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One request to the store, as its sender wrote it."""

    sender: str
    verb: Verb
    kind: str
    name: str = ""
    version: int = 0
    session: str | None = None
    spec: Spec | None = None

    @property
    def writes(self) -> bool:
        """Whether it can change anything."""
        return self.verb not in ("get", "list")


@dataclass(frozen=True, slots=True)
class Commit:
    """One write that took effect. `record` is None if it was a removal."""

    at: float
    version: int
    operation: Operation
    record: Record | None
    before: Record | None


class SharedStore:
    """One store that all electors of a run share. Each operation is one step at one virtual instant."""

    def __init__(self, inner: Store, loop: VirtualLoop) -> None:
        self.commits: list[Commit] = []
        self._inner = inner
        self._loop = loop
        self._histories: dict[tuple[str, str], list[tuple[int, Record | None]]] = {}
        self._times: list[float] = []
        self._versions: list[int] = []

    def apply(self, operation: Operation) -> Record | Listing | None:
        """Carry out one operation now, raise what the store raises, and write down what it changed."""
        verb, kind, name = operation.verb, operation.kind, operation.name
        if verb == "get":
            return _at_once(self._inner.get(kind, name))
        if verb == "list":
            return _at_once(
                self._inner.list(kind, session=operation.session, name=name or None)
                if name
                else self._inner.list(kind, session=operation.session)
            )
        before = _at_once(self._inner.get(kind, name))
        record = self._write(operation)
        version = _at_once(self._inner.list("no such kind")).version if record is None else record.version
        self._note(Commit(self._loop.time(), version, operation, record, before))
        return record

    def apply_as_of(self, operation: Operation, moment: float) -> Record | Listing | None:
        """Answer a read from the state that the store had at `moment`: what a lagging replica would say."""
        writes = bisect_right(self._times, moment)
        version = self._versions[writes - 1] if writes else 0
        if operation.verb == "get":
            return self._record_at(operation.kind, operation.name, version)
        if version == 0:
            return Listing((), 0)
        found = [self._record_at(kind, name, version) for kind, name in self._histories if kind == operation.kind]
        records = [record for record in found if record is not None and operation.name in ("", record.name)]
        if operation.session is not None:
            records = [record for record in records if record.session == operation.session]
        return Listing(tuple(sorted(records, key=lambda record: record.name)), version)

    def watch(self, kind: str, since: int, *, name: str | None, session: str | None) -> Watch:
        """The shared store's own watch."""
        return self._inner.watch(kind, since, name=name, session=session)

    def record(self, kind: str, name: str) -> Record | None:
        """The record as it is now."""
        return _at_once(self._inner.get(kind, name))

    def records(self, kind: str) -> tuple[Record, ...]:
        """All records of one kind as they are now."""
        return _at_once(self._inner.list(kind)).records

    def by_hand(self, verb: Verb, kind: str, name: str, spec: Spec | None = None) -> None:
        """What an operator does with kubectl: replace or delete the record that is there, whatever its version."""
        record = self.record(kind, name)
        assert record is not None, f"there is no {kind} {name}"
        self.apply(Operation("an operator", verb, kind, name, record.version, record.session, spec))

    def _write(self, operation: Operation) -> Record | None:
        verb, kind, name, version = operation.verb, operation.kind, operation.name, operation.version
        if verb == "delete":
            return _at_once(self._inner.delete(kind, name, version))
        session, spec = operation.session, operation.spec
        assert session is not None, "a write names its session"
        assert spec is not None, "a write has a spec"
        if verb == "create":
            return _at_once(self._inner.create(kind, name, session, spec))
        return _at_once(self._inner.replace(kind, name, version, session, spec))

    def _note(self, commit: Commit) -> None:
        self.commits.append(commit)
        self._times.append(commit.at)
        self._versions.append(commit.version)
        key = (commit.operation.kind, commit.operation.name)
        self._histories.setdefault(key, []).append((commit.version, commit.record))

    def _record_at(self, kind: str, name: str, version: int) -> Record | None:
        history = self._histories.get((kind, name), [])
        place = bisect_right(history, version, key=lambda entry: entry[0])
        return history[place - 1][1] if place else None


def _at_once(step: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that does not wait. The memory store's steps are such."""
    try:
        step.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("a step of the memory store waited: it is not one instant any more")
