"""Beliefs of processes against what the recorder saw: the common invariants, and one that needs its clock.

    all of tests.processes.checker       with the store's log as etcd has it
    beliefs_end_with_their_tenures       nobody asks, and is told "yours", after the store gave the lock away
    tenures_have_a_session               a lock is only ever granted under a session that was there and renewed
    written_tokens_rise                  no record ever shows a token below one that an earlier record showed

Pure: events and stored writes in, one sentence out for each violation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from tests.cluster.recorder import StoredWrite, Tenure, log_of, tenures
from tests.processes import checker
from tests.processes.history import Event


def violations(
    events: Sequence[Event], writes: Sequence[StoredWrite], freed_by_hand: Collection[int] = ()
) -> Iterator[str]:
    """Every violation of every invariant.

    `freed_by_hand` are tokens of holds whose record was removed by hand: what their holders believe after that is the
    one exemption. Every other rule holds for them, too.
    """
    stored = tenures(writes)
    kept = list(without_beliefs_after_the_end(events, stored, freed_by_hand))
    yield from checker.violations(kept, log_of(writes))
    yield from beliefs_end_with_their_tenures(kept, stored)
    yield from tenures_have_a_session(writes, stored)
    yield from written_tokens_rise(writes)


def beliefs_end_with_their_tenures(events: Iterable[Event], stored: Iterable[Tenure]) -> Iterator[str]:
    """A belief asked for after the recorder has seen the end of its tenure is one too many."""
    ends = _ends(stored)
    too_late: dict[tuple[str, int], Event] = {}
    for event in events:
        key = event.name, event.token
        if event.kind == "belief" and event.asked > ends.get(key, event.asked):
            too_late[key] = max(event, too_late.get(key, event), key=lambda one: one.asked)
    for key, event in too_late.items():
        yield f"believes {event.asked - ends[key]} ns after the store gave it away: {event}"


def without_beliefs_after_the_end(
    events: Iterable[Event], stored: Iterable[Tenure], tokens: Collection[int]
) -> Iterator[Event]:
    """The events without those that the exemption is about."""
    ends = _ends(tenure for tenure in stored if tenure.token in tokens)
    for event in events:
        end = ends.get((event.name, event.token))
        if event.kind != "belief" or end is None or event.at <= end:
            yield event
        elif event.asked <= end:
            yield replace(event, at=end)


def overlap_seconds(events: Sequence[Event], stored: Iterable[Tenure], token: int) -> float:
    """For how long the holder of a token believed after the recorder had seen the end of its tenure."""
    ends = _ends(tenure for tenure in stored if tenure.token == token)
    beliefs = [event for event in events if event.kind == "belief" and event.token == token]
    last = max(beliefs, key=lambda event: event.asked)
    return max(0.0, (last.asked - ends[last.name, token]) / 1e9)


def tenures_have_a_session(writes: Iterable[StoredWrite], stored: Iterable[Tenure]) -> Iterator[str]:
    """A session that was never written, or never renewed, can hold nothing."""
    first_renewal: dict[str, int] = {}
    for write in writes:
        if write.kind == "session" and write.spec.get("seq", 0) > 0:
            first_renewal.setdefault(write.key, write.revision)
    for tenure in stored:
        if tenure.session not in first_renewal or first_renewal[tenure.session] > tenure.revision:
            yield f"granted under a session that was not in use: {tenure}"


def written_tokens_rise(writes: Iterable[StoredWrite]) -> Iterator[str]:
    """Also not below one that was too large."""
    largest: dict[str, tuple[int, str]] = {}
    for write in writes:
        if write.kind == "lock" and "token" in write.spec:
            shown = int(write.spec["token"]), write.spec["holder"]
            before = largest.get(write.key, (0, ""))
            if shown[0] < before[0] or (shown[0] == before[0] and shown[1] != before[1]):
                yield f"{write} shows token {shown[0]} after {before[0]}"
            largest[write.key] = max(shown, before)


def _ends(stored: Iterable[Tenure]) -> dict[tuple[str, int], int]:
    return {(tenure.name, tenure.token): tenure.ended.seen_at for tenure in stored if tenure.ended is not None}
