"""What must hold in every run, judged from the history of the clients and the recorder's list of commits.

Each function is pure and returns one sentence for each violation it finds.

    I1  no two valid beliefs at one instant                      beliefs_are_disjoint
    I2  a resource that checks tokens never meets an old one     tokens_rise
    I3  tokens rise in the order of tenures                      tenures_have_one_rising_token, tokens_rise
    I4  a holder has stopped believing before another is granted beliefs_lie_within_their_tenure
    I5  takeover and hand-off in time                            the last calls of a run, the directed schedules;
                                                                 in quiet times: nobody_waits_for_a_free_lock
    I6  no hold without an owner                                 the end of a run: every lock gets free
    I7  nothing of the other primitives is lost or made up       shared_invariants
    I8  every call returns in time                               calls_return_in_time
    I9  sessions and versions never go back                      sessions_never_go_back, versions_rise
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from elector_server.rules.session import observation_seconds
from metaparticle_sync import wire
from tests.simulation import shared_invariants
from tests.simulation.history import Belief, Call, Check, History
from tests.simulation.recorder import Commit

if TYPE_CHECKING:
    from tests.simulation.world import World

CALL_SLACK_SECONDS = 1.0
AT_ONCE_SECONDS = 1.0
FOREVER = float("inf")


@dataclass(slots=True)
class Tenure:
    """One hold as the store saw it: from the commit that made it to the one that ended it."""

    name: str
    holder: str
    session: str
    token: int
    began: float
    ended: float = FOREVER


def check(world: World) -> None:
    """Check everything.

    Raises:
        AssertionError: with every violation.
    """
    found = list(violations(world.history, world.shared.commits))
    found += shared_invariants.violations(world.history, world.shared.commits)
    failed = [process.name for process in world.electors() if process.elector.background.failures]
    found += [f"{name}: a background task failed" for name in failed]
    assert not found, "\n".join(found)


def violations(history: History, commits: list[Commit]) -> Iterator[str]:
    """Every violation of every invariant."""
    held = tenures(commits)
    yield from history.errors
    yield from versions_rise(commits)
    yield from sessions_never_go_back(commits)
    yield from tenures_have_one_rising_token(commits)
    yield from beliefs_are_disjoint(history.beliefs)
    yield from beliefs_lie_within_their_tenure(history.beliefs, held)
    yield from one_token_per_holder(history.beliefs)
    yield from tokens_rise(history.checks)
    yield from calls_return_in_time(history.calls)
    yield from nobody_waits_for_a_free_lock(history, held)


def heal_bound_seconds(world: World) -> float:
    """How long after healing a lock may stay out of reach: whoever had it fell silent just then, in the worst way.

    Its client's time or the grace after an adoption, then one list of the reconciliation; or the takeover of a dead
    session; and then everybody's turn in the queue.
    """
    leases = [process.elector.durations.lease_seconds for process in world.electors()]
    lease = max([*leases, *_recorded_leases(world.shared.commits)])
    ttl = max(pod.durations.client_ttl_seconds for pod in world.pods)
    takeover = observation_seconds(lease) + 2 * lease / 5
    return max(ttl, lease) + lease + takeover + wire.LEGACY_HOLD_SECONDS + 10.0


def grants_before_the_first_fault(history: History) -> int:
    """How much load there was while nothing was wrong yet."""
    quiet_until = FOREVER if history.first_fault_at is None else history.first_fault_at
    return sum(attempt.is_granted and attempt.ended <= quiet_until for attempt in history.attempts)


def _recorded_leases(commits: Iterable[Commit]) -> Iterator[float]:
    for commit in commits:
        if commit.operation.kind == "session" and commit.record is not None:
            yield commit.record.spec["lease_seconds"]


def tenures(commits: Iterable[Commit]) -> dict[str, list[Tenure]]:
    """The holds of each lock, in order, as its record shows them."""
    found: dict[str, list[Tenure]] = defaultdict(list)
    for commit in commits:
        if commit.operation.kind != "lock":
            continue
        rows = found[commit.operation.name]
        now = _tenure_of(commit)
        last = rows[-1] if rows and rows[-1].ended == FOREVER else None
        if last is not None and now is not None and (last.holder, last.session) == (now.holder, now.session):
            continue
        if last is not None:
            last.ended = commit.at
        if now is not None:
            rows.append(now)
    return found


def _tenure_of(commit: Commit) -> Tenure | None:
    record = commit.record
    if record is None:
        return None
    spec = record.spec
    return Tenure(record.name, spec["holder"], spec["session"], _token_of(commit), commit.at)


def _token_of(commit: Commit) -> int:
    assert commit.record is not None
    token = commit.record.spec.get("token")
    return commit.version if token is None else int(token)


def versions_rise(commits: list[Commit]) -> Iterator[str]:
    """The store's own promise."""
    for before, after in pairwise(commits):
        if after.version <= before.version:
            yield f"version {after.version} was given after {before.version}"


def sessions_never_go_back(commits: Iterable[Commit]) -> Iterator[str]:
    """`ended` is final, seq and epoch never fall, the lease never changes."""
    for commit in commits:
        if commit.operation.kind != "session" or commit.record is None or commit.before is None:
            continue
        before, after = commit.before.spec, commit.record.spec
        if before["state"] == "ended" and after["state"] != "ended":
            yield f"session {commit.operation.name} came back from its end at {commit.at:.3f}"
        if after["seq"] < before["seq"] or after["epoch"] < before["epoch"]:
            yield f"session {commit.operation.name} went back at {commit.at:.3f}: {before} -> {after}"
        if after["lease_seconds"] != before["lease_seconds"]:
            yield f"session {commit.operation.name} changed its lease at {commit.at:.3f}"


def tenures_have_one_rising_token(commits: Iterable[Commit]) -> Iterator[str]:
    """Tokens rise from tenure to tenure; in one tenure the token stays; no token is above its own version."""
    highest: dict[str, int] = {}
    tenure: dict[str, tuple[str, str]] = {}
    for commit in commits:
        now = _tenure_of(commit) if commit.operation.kind == "lock" else None
        if commit.record is None or now is None:
            continue
        before, same = highest.get(now.name, 0), tenure.get(now.name) == (now.holder, now.session)
        if commit.before is None:
            same = False
        if same and now.token != before:
            yield f"lock {now.name}: holder {now.holder[:8]} has token {now.token}, it had {before}"
        if not same and now.token <= before:
            yield f"lock {now.name}: token {now.token} of {now.holder[:8]} is not above {before}"
        if now.token > commit.version:
            yield f"lock {now.name}: token {now.token} is above its version {commit.version}"
        highest[now.name], tenure[now.name] = now.token, (now.holder, now.session)


def _by_name(beliefs: Iterable[Belief]) -> dict[str, list[Belief]]:
    rows: dict[str, list[Belief]] = defaultdict(list)
    for belief in sorted(beliefs, key=lambda belief: belief.began):
        rows[belief.name].append(belief)
    return rows


def beliefs_are_disjoint(beliefs: Iterable[Belief]) -> Iterator[str]:
    """Never two who would both be told that they hold."""
    for rows in _by_name(beliefs).values():
        latest: Belief | None = None
        for belief in rows:
            if latest is not None and belief.began < _end(latest):
                yield f"two believe at {belief.began:.3f}: {_describe(latest)} and {_describe(belief)}"
            if latest is not None and belief.token <= latest.token and belief.holder != latest.holder:
                yield f"tokens do not rise: {_describe(latest)} and {_describe(belief)}"
            if latest is None or _end(belief) > _end(latest):
                latest = belief


def beliefs_lie_within_their_tenure(beliefs: Iterable[Belief], held: dict[str, list[Tenure]]) -> Iterator[str]:
    """A holder's token is in the store's history, and it has stopped believing when the store shows another."""
    for belief in beliefs:
        rows = [t for t in held.get(belief.name, []) if (t.holder, t.token) == (belief.holder, belief.token)]
        if not rows:
            yield f"the store never showed {_describe(belief)}"
        elif not any(t.began <= belief.began and _end(belief) <= t.ended for t in rows):
            spans = ", ".join(f"{t.began:.3f}-{t.ended:.3f}" for t in rows)
            yield f"the store showed it only {spans}: {_describe(belief)}"


def one_token_per_holder(beliefs: Iterable[Belief]) -> Iterator[str]:
    """A holder id is one acquisition, with one token."""
    token_of: dict[str, int] = {}
    for belief in beliefs:
        if token_of.setdefault(belief.holder, belief.token) != belief.token:
            yield f"a holder id has two tokens, {token_of[belief.holder]} and {belief.token}: {_describe(belief)}"


def tokens_rise(checks: Iterable[Check]) -> Iterator[str]:
    """A resource that remembers the highest token would refuse nobody who has just been told that it holds."""
    highest: dict[str, int] = {}
    for check_ in checks:
        if not check_.believed:
            continue
        if check_.token < highest.get(check_.name, 0):
            yield f"at {check_.at:.3f} {check_.client} came with token {check_.token} after {highest[check_.name]}"
        highest[check_.name] = max(check_.token, highest.get(check_.name, 0))


def calls_return_in_time(calls: Iterable[Call]) -> Iterator[str]:
    """No request waits longer than it said it would."""
    for call in calls:
        if call.took_seconds > call.bound_seconds + CALL_SLACK_SECONDS:
            yield f"{call.what} of {call.client} at {call.began:.3f} took {call.took_seconds:.2f} s"


def nobody_waits_for_a_free_lock(history: History, held: dict[str, list[Tenure]]) -> Iterator[str]:
    """While nothing is wrong yet, a free lock is taken at once by whoever waits, and a grant is heard of at once."""
    if history.first_fault_at is None:
        return
    quiet_until = history.first_fault_at
    for attempt in history.attempts:
        if attempt.ended > quiet_until:
            continue
        for begins, ends in free_times(held.get(attempt.name, [])):
            waited = min(ends, attempt.ended) - max(begins, attempt.began)
            if waited > AT_ONCE_SECONDS:
                yield f"{attempt.client} waited {waited:.2f} s for {attempt.name} from {begins:.3f}, while it was free"
    first_beliefs = {belief.holder: belief for belief in reversed(history.beliefs)}
    for tenure in [tenure for rows in held.values() for tenure in rows]:
        belief = first_beliefs.get(tenure.holder)
        if belief is not None and tenure.began + AT_ONCE_SECONDS < belief.began <= quiet_until:
            yield f"{belief.client} heard of its grant after {belief.began - tenure.began:.2f} s"


def free_times(rows: list[Tenure]) -> Iterator[tuple[float, float]]:
    """When a lock was free: before, between and after its tenures."""
    begins = 0.0
    for tenure in rows:
        if tenure.began > begins:
            yield begins, tenure.began
        begins = tenure.ended
    if begins < FOREVER:
        yield begins, FOREVER


def _end(belief: Belief) -> float:
    return FOREVER if belief.ended is None else belief.ended


def _describe(belief: Belief) -> str:
    return (
        f"{belief.client} with token {belief.token} ({belief.holder[:8]})"
        f" from {belief.began:.3f} to {_end(belief):.3f} ({belief.reason})"
    )
