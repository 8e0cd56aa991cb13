"""The writes of one shared record in order, each with the operations that it applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from elector_server.participants import end_of, once
from elector_server.rules.shared import NO_OPERATIONS
from tests.simulation.history import History, SharedCall
from tests.simulation.recorder import Commit

Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One write. `before` is None for a `create`; `ended` are the sessions that have ended by then.

    `is_whole` is false if it applied more operations than a record remembers: the first ones are not known then.
    """

    at: float
    version: int
    sender: str
    before: Spec | None
    after: Spec
    operations: tuple[str, ...]
    ended: frozenset[str]
    is_whole: bool

    def is_own(self, claimant: Spec) -> bool:
        """Whether a claimant is one of the elector that wrote this."""
        return bool(claimant["owner"] == self.sender.partition(".")[0])


def steps_of(commits: Iterable[Commit], kind: str) -> dict[str, list[Step]]:
    """The writes of each record of a kind. A record that was deleted begins anew with its next `create`."""
    found: dict[str, list[Step]] = defaultdict(list)
    ended: frozenset[str] = frozenset()
    for commit in commits:
        record = commit.record
        if record is not None and record.kind == "session" and record.spec["state"] == "ended":
            ended |= {record.name}
        if record is not None and record.kind == kind:
            before = None if commit.before is None else commit.before.spec
            applied = record.spec["operation_count"] - (0 if before is None else before["operation_count"])
            operations = tuple(record.spec["operations"][-applied:] if applied else ())
            is_whole = len(operations) == applied
            sender = commit.operation.sender
            found[record.name].append(
                Step(commit.at, commit.version, sender, before, record.spec, operations, ended, is_whole)
            )
    return found


def calls_by_id(history: History, kind: str) -> dict[str, SharedCall]:
    """The calls of programs, by what records remember of them."""
    return {digest_of(call): call for call in history.shared if call.kind == kind and call.what != "action"}


def digest_of(call: SharedCall) -> str:
    """What a record remembers of a call."""
    return _digest(call.id if call.what in ("acquire", "wait") else once(call.id))


def digest_of_end(holder: str) -> str:
    """What a record remembers of a holder that has withdrawn, or left."""
    return _digest(end_of(holder))


def digest_of_holder(holder: str) -> str:
    """What a record remembers of a holder that has joined."""
    return _digest(holder)


@cache
def _digest(operation: str) -> str:
    return NO_OPERATIONS.plus(operation).last[0]


def holders(claimants: Iterable[Spec]) -> list[str]:
    """The holder ids of claimants, in order."""
    return [claimant["holder"] for claimant in claimants]


def operations_happen_once(steps: dict[str, list[Step]], joins: Container[str] = ()) -> Iterator[str]:
    """No operation is applied twice.

    One of `joins` may be, once the record has forgotten it: its first place was lost with a session.
    """
    for name, writes in steps.items():
        seen: dict[str, float] = {}
        for step in writes:
            for operation in step.operations:
                is_forgotten = step.before is None or operation not in step.before["operations"]
                if operation in seen and not (is_forgotten and operation in joins):
                    yield f"operation {operation} on {name} was done at {seen[operation]:.3f} and at {step.at:.3f}"
                seen[operation] = step.at


def done_calls_were_written(steps: dict[str, list[Step]], calls: Iterable[SharedCall]) -> Iterator[str]:
    """What a program was told is done was written, between the beginning and the end of its call."""
    written = {operation: step.at for writes in steps.values() for step in writes for operation in step.operations}
    for call in calls:
        at = written.get(digest_of(call))
        if at is None and not all(step.is_whole for step in steps.get(call.name, [])):
            continue
        if at is None or call.ended is None or not call.began <= at <= call.ended:
            yield f"{call.client} was told at {call.ended} that its {call.what} is done; it was written at {at}"


def refused_calls_were_not_written(steps: dict[str, list[Step]], calls: Iterable[SharedCall]) -> Iterator[str]:
    """What was refused has left no trace."""
    written = {operation for writes in steps.values() for step in writes for operation in step.operations}
    for call in calls:
        if digest_of(call) in written:
            yield f"{call.client} was told that its {call.what} is refused, and it was done"
