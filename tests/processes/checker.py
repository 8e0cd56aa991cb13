"""What must hold in every run, whatever was killed in it.

    I1  no two valid beliefs at one instant             beliefs_are_disjoint
    I2  a token is of one hold of one process           tokens_are_of_one_hold
    I3  tokens rise in the order of tenures             tokens_rise
    I4  who was told of a loss never believes again     nobody_believes_after_being_told
    I9  in the store no token, epoch or seq goes back   stored_tokens_rise, sessions_never_go_back
        what a process believed, the store says, too    beliefs_are_in_the_store

Pure: events and stored writes in, one sentence out for each violation.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.processes.history import Event


@dataclass(slots=True)
class Tenure:
    """The time in which one hold was certainly believed in: from its first answer to its last question.

    A pause between question and answer can only make it shorter, so two of them that overlap are a fault for sure.
    """

    name: str
    token: int
    pid: int
    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Write:
    """One row of the store's log of changes. `spec` is None for a deletion."""

    version: int
    kind: str
    name: str
    spec: dict[str, Any] | None


def violations(events: Sequence[Event], writes: Sequence[Write]) -> Iterator[str]:
    """Every violation of every invariant. `writes` may be empty: a store in memory leaves none."""
    held = tenures(events)
    yield from tokens_are_of_one_hold(events)
    yield from beliefs_are_disjoint(held)
    yield from tokens_rise(held)
    yield from nobody_believes_after_being_told(events)
    if writes:
        yield from stored_tokens_rise(writes)
        yield from sessions_never_go_back(writes)
        yield from beliefs_are_in_the_store(held, writes)


def tenures(events: Iterable[Event]) -> list[Tenure]:
    """All tenures, by name and then by their beginning."""
    found: dict[tuple[str, int, int], Tenure] = {}
    for event in events:
        if event.kind == "belief":
            key = event.name, event.token, event.pid
            tenure = found.setdefault(key, Tenure(event.name, event.token, event.pid, event.at, event.asked))
            tenure.began = min(tenure.began, event.at)
            tenure.ended = max(tenure.ended, event.asked)
    return sorted(found.values(), key=lambda tenure: (tenure.name, tenure.began))


def _by_name(held: Iterable[Tenure]) -> Iterable[list[Tenure]]:
    names: dict[str, list[Tenure]] = defaultdict(list)
    for tenure in held:
        names[tenure.name].append(tenure)
    return names.values()


def beliefs_are_disjoint(held: Iterable[Tenure]) -> Iterator[str]:
    """I1. Each is compared with all before it, of which the one that ended last counts."""
    for of_name in _by_name(held):
        last = of_name[0]
        for tenure in of_name[1:]:
            if tenure.began < last.ended:
                yield f"two believe at once: {last} and {tenure}"
            last = max(last, tenure, key=lambda one: one.ended)


def tokens_are_of_one_hold(events: Iterable[Event]) -> Iterator[str]:
    """I2. A token names one process, and one of its acquisitions."""
    pids: dict[tuple[str, int], set[int]] = defaultdict(set)
    grants: dict[tuple[str, int], int] = defaultdict(int)
    for event in events:
        if event.token and event.kind in {"belief", "ok"}:
            pids[event.name, event.token].add(event.pid)
        if event.kind == "ok" and event.what == "acquire":
            grants[event.name, event.token] += 1
    yield from (f"token {key} is of several processes: {who}" for key, who in pids.items() if len(who) > 1)
    yield from (f"token {key} was granted {count} times" for key, count in grants.items() if count > 1)


def tokens_rise(held: Iterable[Tenure]) -> Iterator[str]:
    """I3."""
    for of_name in _by_name(held):
        for before, after in pairwise(of_name):
            if after.token <= before.token:
                yield f"a token does not rise: {before} and then {after}"


def nobody_believes_after_being_told(events: Iterable[Event]) -> Iterator[str]:
    """I4."""
    told = {(event.name, event.token, event.pid): event.at for event in events if event.kind == "told"}
    for event in events:
        if event.kind == "belief" and event.asked > told.get((event.name, event.token, event.pid), event.asked):
            yield f"believes after it was told of its loss: {event}"


def stored_writes(path: Path) -> list[Write]:
    """Every write to a SQLite store that its log still knows (the last 10,000)."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT version, kind, name, spec FROM change ORDER BY version").fetchall()
    finally:
        connection.close()
    return [Write(*key, json.loads(spec) if spec else None) for *key, spec in rows if key[1]]


def stored_tokens(writes: Iterable[Write]) -> Iterator[tuple[str, int, str]]:
    """Name, token and holder of each stored hold. A record without a token has its own version for one."""
    for write in writes:
        if write.kind == "lock" and write.spec is not None:
            yield write.name, int(write.spec.get("token", write.version)), write.spec["holder"]


def stored_tokens_rise(writes: Sequence[Write]) -> Iterator[str]:
    """I9 for locks: a name's next token is larger, or it is the same one of the same holder."""
    last: dict[str, tuple[int, str]] = {}
    for name, token, holder in stored_tokens(writes):
        before = last.get(name)
        if before is not None and (token < before[0] or (token == before[0]) != (holder == before[1])):
            yield f"lock {name!r}: token {before[0]} of {before[1][:8]} is followed by {token} of {holder[:8]}"
        last[name] = token, holder


def sessions_never_go_back(writes: Iterable[Write]) -> Iterator[str]:
    """I9 for sessions: epoch and seq never fall, an ended one stays ended, and a deleted one is never used again.

    After a deletion there may be a record that says `gone`, or a late copy of the first write, on which nothing hangs.
    """
    last: dict[str, dict[str, Any]] = {}
    deleted: set[str] = set()
    for write in writes:
        if write.kind != "session":
            continue
        before, after = last.pop(write.name, None), write.spec
        if after is None:
            deleted.add(write.name)
            continue
        if after["state"] == "live" and after["seq"] > 0 and write.name in deleted:
            yield f"session {write.name} lives again after it was deleted"
        if before is not None:
            if before["state"] == "ended" and after["state"] != "ended":
                yield f"session {write.name} lives again"
            if (after["epoch"], after["seq"]) < (before["epoch"], before["seq"]):
                yield f"session {write.name} goes back from {before} to {after}"
        last[write.name] = after


def beliefs_are_in_the_store(held: Iterable[Tenure], writes: Sequence[Write]) -> Iterator[str]:
    """Nobody believes in a token that the store never gave, as far back as its log goes."""
    given = {(name, token) for name, token, _ in stored_tokens(writes)}
    for one in held:
        if one.token >= writes[0].version and (one.name, one.token) not in given:
            yield f"no stored hold has the token of {one}"
