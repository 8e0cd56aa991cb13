"""Random programs on two handles of a store, compared with a dict."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from elector_server.store import Conflict, Exists, Record, Store
from tests.stores.conftest import MakeHarness
from tests.stores.harness import (
    LOCK,
    SEMAPHORE,
    SESSION,
    TEST_SECONDS,
    Harness,
    gone,
    next_changes,
    raised,
    stored,
    until,
)

T = TypeVar("T")

kinds = st.sampled_from((LOCK, SESSION, SEMAPHORE))
names = st.sampled_from(("a", "b", "a/b", "é"))
sessions = st.sampled_from(("s", "t", "u"))
handles = st.integers(0, 1)
numbers = st.integers(0, 5)


class Step:
    """One write of the model's history. The version of a removal is learned from a watch only."""

    def __init__(self, before: Record | None, after: Record | None) -> None:
        self.before = before
        self.after = after
        either = after or before
        assert either is not None
        self.kind, self.name = either.kind, either.name

    def seen_by(self, kind: str, name: str | None, session: str | None) -> tuple[str, Record | None] | None:
        """What a watch should report; None for nothing."""
        if self.kind != kind or name not in (None, self.name):
            return None
        if session is None or (self.after is not None and self.after.session == session):
            return self.name, self.after
        if self.before is not None and self.before.session == session:
            return self.name, None
        return None


class StoreMachine(RuleBasedStateMachine):
    """The model is `records` and `history`."""

    def __init__(self, harness: Harness) -> None:
        super().__init__()
        self.harness = harness
        self.runner = asyncio.Runner()
        self.stores: list[Store] = [self.run(harness.open()) for _ in range(2)]
        self.records: dict[tuple[str, str], Record] = {}
        self.history: list[Step] = []
        self.newest = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(asyncio.wait_for(coroutine, TEST_SECONDS))

    def wrote(self, before: Record | None, after: Record | None) -> None:
        self.history.append(Step(before, after))
        if after is not None:
            assert after.version > self.newest
            self.newest = after.version
            self.records[after.kind, after.name] = after
        elif before is not None:
            del self.records[before.kind, before.name]

    def stale_version(self, kind: str, name: str, pick: int) -> int:
        """A version that the record does not have: another record's, its own earlier one, or one to come."""
        own = self.records.get((kind, name))
        versions = [step.after.version for step in self.history if step.after not in (None, own) and step.after]
        return [*versions, self.newest + 1][-1 - pick % (len(versions) + 1)]

    @rule(handle=handles, kind=kinds, name=names, session=sessions, number=numbers)
    def create(self, handle: int, kind: str, name: str, session: str, number: int) -> None:
        spec = self.harness.spec(number, kind)
        if (kind, name) in self.records:
            assert self.run(raised(self.stores[handle].create(kind, name, session, spec))) is Exists
            return
        record = self.run(self.stores[handle].create(kind, name, session, spec))
        assert record == Record(kind, name, record.version, session, spec)
        self.wrote(None, record)

    @rule(handle=handles, kind=kinds, name=names, session=sessions, number=numbers)
    def replace(self, handle: int, kind: str, name: str, session: str, number: int) -> None:
        before = self.records.get((kind, name))
        if before is None:
            return
        spec = self.harness.spec(number + 100 + len(self.history), kind)
        after = self.run(self.stores[handle].replace(kind, name, before.version, session, spec))
        assert after == Record(kind, name, after.version, session, spec)
        self.wrote(before, after)

    @rule(handle=handles, kind=kinds, name=names)
    def delete(self, handle: int, kind: str, name: str) -> None:
        before = self.records.get((kind, name))
        if before is not None:
            self.run(self.stores[handle].delete(kind, name, before.version))
            self.wrote(before, None)

    @rule(handle=handles, kind=kinds, name=names, pick=st.integers(0, 100), remove=st.booleans())
    def write_with_a_wrong_version(self, handle: int, kind: str, name: str, pick: int, *, remove: bool) -> None:
        version = self.stale_version(kind, name, pick)
        store = self.stores[handle]
        write: Coroutine[Any, Any, object] = (
            store.delete(kind, name, version)
            if remove
            else store.replace(kind, name, version, "s", self.harness.spec(1, kind))
        )
        assert self.run(raised(write)) is Conflict

    @rule(handle=handles, kind=kinds, name=names)
    def get(self, handle: int, kind: str, name: str) -> None:
        record = self.records.get((kind, name))
        store = self.stores[handle]
        self.run(gone(store, kind, name) if record is None else stored(store, record))

    @rule(handle=handles, kind=kinds, session=st.none() | sessions)
    def list(self, handle: int, kind: str, session: str | None) -> None:
        expected = tuple(
            record
            for _, record in sorted(self.records.items())
            if record.kind == kind and session in (None, record.session)
        )
        store = self.stores[handle]
        self.run(until(lambda: store.list(kind, session=session), lambda found: found.records == expected))

    @rule(handle=handles, kind=kinds, name=names)
    def list_one(self, handle: int, kind: str, name: str) -> None:
        record = self.records.get((kind, name))
        expected = () if record is None else (record,)
        store = self.stores[handle]
        self.run(until(lambda: store.list(kind, name=name), lambda found: found.records == expected))

    @precondition(lambda self: any(step.after for step in self.history))
    @rule(handle=handles, kind=kinds, name=st.none() | names, session=st.none() | sessions, pick=st.integers(0, 100))
    def watch_the_past(self, handle: int, kind: str, name: str | None, session: str | None, pick: int) -> None:
        starts = [(at, step.after.version) for at, step in enumerate(self.history) if step.after is not None]
        at, since = starts[pick % len(starts)]
        self.run(self.check_watch(self.stores[handle], at, since, (kind, name, None if name else session)))

    async def check_watch(self, store: Store, at: int, since: int, topic: tuple[str, str | None, str | None]) -> None:
        kind, name, session = topic
        steps = [step.seen_by(kind, name, session) for step in self.history[at + 1 :]]
        expected = [step for step in steps if step is not None]
        async with store.watch(kind, since, name=name, session=session) as watch:
            changes = await next_changes(watch, len(expected))
        assert [(change.name, change.record) for change in changes] == expected
        versions = [since, *(change.version for change in changes)]
        assert versions == sorted(set(versions))
        assert all(change.record is None or change.record.version == change.version for change in changes)

    def teardown(self) -> None:
        self.run(self.close())
        self.runner.close()

    async def close(self) -> None:
        for store in self.stores:
            await store.close()


def test_a_store_is_a_dict_with_versions(make_harness: MakeHarness) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(make_harness())

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
