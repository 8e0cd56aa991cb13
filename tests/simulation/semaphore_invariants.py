"""What must hold of semaphores: no permit is lost or made up, and they are granted in the order of asking.

Each write is compared with a model that counts as `threading` does. It shares no code with `rules.semaphore`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from elector_server.rules.semaphore import KIND
from tests.simulation.history import Belief, History, SharedCall
from tests.simulation.holds import ClientHold
from tests.simulation.recorder import Commit
from tests.simulation.semaphore_user import FULL, MISMATCH
from tests.simulation.steps import (
    Spec,
    Step,
    calls_by_id,
    digest_of_end,
    digest_of_holder,
    done_calls_were_written,
    holders,
    operations_happen_once,
    refused_calls_were_not_written,
    steps_of,
)

FOREVER = float("inf")
AT_ONCE_SECONDS = 1.0


@dataclass(slots=True)
class PermitTenure:
    """One permit as the store saw it. `is_taken`: an anonymous release ended it, of which its holder is not told."""

    holder: str
    session: str
    token: int
    began: float
    ended: float = FOREVER
    is_taken: bool = False


@dataclass(slots=True)
class Model:
    """A semaphore in memory: who holds, who waits, how many there are."""

    size: int
    permits: list[str]
    queue: list[str]
    taken: set[str] = field(default_factory=set)
    granted: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Permits that were lost or given up before."""

    @classmethod
    def of(cls, spec: Spec | None, limit: int, gone: set[str]) -> Model:
        """As a record says it."""
        if spec is None:
            return cls(limit, [], [], gone=gone.copy())
        return cls(limit + spec["extra"], holders(spec["permits"]), holders(spec["queue"]), gone=gone.copy())

    def promote(self) -> None:
        """Free permits go to those who wait, in their order."""
        while self.queue and len(self.permits) < self.size:
            self._grant(self.queue.pop(0))

    def _grant(self, holder: str) -> None:
        self.permits.append(holder)
        self.granted.append(holder)

    def acquire(self, holder: str) -> None:
        """Have a permit, or wait."""
        if len(self.permits) < self.size and not self.queue:
            self._grant(holder)
        else:
            self.queue.append(holder)

    def release(self, count: int, own: Iterable[str]) -> None:
        """Give back one's own, then anybody's, oldest first, then new ones. What was lost frees nothing again."""
        for holder in own:
            if holder in self.permits:
                self.permits.remove(holder)
                count -= 1
            elif holder in self.gone:
                count -= 1
        for _ in range(count):
            if self.permits:
                self.taken.add(self.permits.pop(0))
            else:
                self.size += 1
        self.promote()

    def withdraw(self, holder: str, *, counts: bool, bounded: bool) -> None:
        """As if it had never been: if another one's release took its permit, that release `counts` for itself."""
        if holder in self.permits or holder in self.queue:
            self.leave(holder)
        elif counts and not bounded:
            self.size += 1
            self.promote()

    def leave(self, holder: str) -> None:
        """Gone, wherever it stands."""
        self.gone.add(holder)
        self.permits = [each for each in self.permits if each != holder]
        self.queue = [each for each in self.queue if each != holder]
        self.promote()


def violations(history: History, commits: list[Commit]) -> Iterator[str]:
    """Every violation of every invariant of semaphores."""
    steps, calls = steps_of(commits, KIND), calls_by_id(history, KIND)
    acquires = {digest for digest, call in calls.items() if call.what == "acquire"}
    yield from operations_happen_once(steps, acquires)
    releases = [call for call in calls.values() if call.what == "release" and call.outcome is not None]
    done = [call for call in releases if call.outcome not in (FULL, MISMATCH)]
    # Of its own permits alone, a release may have been done as a return of each: their tenures tell.
    anonymous = [call for call in done if call.details["permits"] > len(call.details["own"])]
    yield from done_calls_were_written(steps, anonymous)
    yield from refused_calls_were_not_written(steps, [call for call in releases if call not in done])
    tenures: list[PermitTenure] = []
    for name, writes in steps.items():
        for step in writes:
            model = explain(step, calls, tenures)
            if model is None and step.is_whole:
                yield f"semaphore {name}, version {step.version} at {step.at:.3f}: {step.before} -> {step.after}"
            yield from _note_tenures(name, tenures, step, model)
            if step.after["queue"] and len(step.after["permits"]) < step.after["limit"] + step.after["extra"]:
                yield f"semaphore {name} at {step.at:.3f}: somebody waits, and a permit is free"
        yield from beliefs_fit(history, [belief for belief in history.permits if belief.name == name], tenures, writes)


def explain(step: Step, calls: dict[str, SharedCall], tenures: list[PermitTenure]) -> Model | None:
    """What the model makes of the same operations, if it comes to what was written; None if it does not."""
    before_is_kept = step.before is not None and step.before["limit"] == step.after["limit"]
    basis = step.before if before_is_kept else None
    lost = {tenure.holder for tenure in tenures if tenure.ended < FOREVER and not tenure.is_taken}
    taken = {tenure.holder for tenure in tenures if tenure.is_taken}
    known = {call.id for call in calls.values() if isinstance(call.outcome, ClientHold)}
    # Whose permit was taken over may have been told so: then its late release frees nothing either. If it knew of its
    # permit, and gives it up because its time is over, only an elector that remembers granting it makes up for it.
    choices = product((lost, lost | taken), _known_dead(step, basis), (frozenset(), known), range(_copies(step, calls)))
    for gone, dead, forgotten, copy in choices:
        model = Model.of(basis, step.after["limit"], gone)
        read = _Read(calls, copy, taken, forgotten, step.after["bounded"])
        if _comes_to(model, step, basis, read, dead):
            return model
    return None


def _known_dead(step: Step, basis: Spec | None) -> Iterator[Collection[str]]:
    """The sessions of which the writer may have known that they had ended: any of those that had."""
    claimants = (*basis["permits"], *basis["queue"]) if basis is not None else ()
    ended = sorted({claimant["session"] for claimant in claimants} & set(step.ended))
    for chosen in product((True, False), repeat=len(ended)):
        yield {session for session, is_known in zip(ended, chosen, strict=True) if is_known}


def _copies(step: Step, calls: dict[str, SharedCall]) -> int:
    """How often a release that this write did was sent, each time with fewer permits of its own."""
    called = [calls[operation] for operation in step.operations if operation in calls]
    return max((len(call.details["sent"]) for call in called if call.what == "release"), default=1)


@dataclass(frozen=True, slots=True)
class _Read:
    """The calls as their copies of one number said them."""

    calls: dict[str, SharedCall]
    copy: int
    taken: Collection[str]
    forgotten: Collection[str]
    bounded: bool

    def of(self, operation: str) -> SharedCall | None:
        """The call of that operation."""
        return self.calls.get(operation)

    def ended_by(self, operation: str) -> str | None:
        """The holder that withdrew with that operation."""
        acquires = (call for call in self.calls.values() if call.what == "acquire")
        return next((call.id for call in acquires if digest_of_end(call.id) == operation), None)

    def released(self, call: SharedCall) -> tuple[int, list[str]]:
        """How many permits, and which ones of its own."""
        sent: list[tuple[int, list[str]]] = call.details["sent"]
        return sent[min(self.copy, len(sent) - 1)]


def _comes_to(model: Model, step: Step, basis: Spec | None, read: _Read, dead: Collection[str]) -> bool:
    after = step.after
    there = {*holders(after["permits"]), *holders(after["queue"])}
    claimants = {each["holder"]: each for each in (*basis["permits"], *basis["queue"])} if basis is not None else {}
    for holder, claimant in claimants.items():
        if claimant["session"] in dead and holder not in there:
            model.leave(holder)
    for operation in step.operations:
        _apply(model, operation, read, there)
    model.promote()
    while strays := [holder for holder in (*model.permits, *model.queue) if holder not in there]:
        if not all(holder not in claimants or step.is_own(claimants[holder]) for holder in strays):
            return False
        for holder in strays:
            model.leave(holder)
    is_same = (model.permits, model.queue) == (holders(after["permits"]), holders(after["queue"]))
    return is_same and model.size == after["limit"] + after["extra"]


def _apply(model: Model, operation: str, read: _Read, there: Iterable[str]) -> None:
    call = read.of(operation)
    withdrawn = None if call is not None else read.ended_by(operation)
    if withdrawn is not None:
        was_taken = withdrawn in read.taken or withdrawn in model.taken
        model.withdraw(withdrawn, counts=was_taken and withdrawn not in read.forgotten, bounded=read.bounded)
    elif call is not None and call.what == "release":
        model.release(*read.released(call))
    else:
        whole = next((holder for holder in there if digest_of_holder(holder) == operation), operation)
        model.acquire(call.id if call is not None else whole)


def _note_tenures(name: str, tenures: list[PermitTenure], step: Step, model: Model | None) -> Iterator[str]:
    standing = {(tenure.holder, tenure.session): tenure for tenure in tenures if tenure.ended == FOREVER}
    newest = max((tenure.token for tenure in tenures if tenure.began < step.at), default=0)
    seen = set()
    for permit in step.after["permits"]:
        key = permit["holder"], permit["session"]
        seen.add(key)
        token = int(permit.get("token", step.version))
        before = standing.get(key)
        if before is None:
            tenures.append(PermitTenure(*key, token, step.at))
            if token <= newest:
                yield f"semaphore {name} at {step.at:.3f}: token {token} of {key[0][:8]} is not above {newest}"
        elif before.token != token:
            yield f"semaphore {name} at {step.at:.3f}: token {token} of {key[0][:8]}, it had {before.token}"
    taken = model.taken if model is not None else set()
    for key, tenure in standing.items():
        if key not in seen:
            tenure.ended, tenure.is_taken = step.at, tenure.holder in taken
    stood = {tenure.holder for tenure in tenures}
    tenures += [  # It was granted and taken by one and the same write.
        PermitTenure(holder, "", step.version, step.at, step.at, is_taken=True) for holder in sorted(taken - stood)
    ]


def beliefs_fit(
    history: History, beliefs: list[Belief], tenures: list[PermitTenure], steps: list[Step]
) -> Iterator[str]:
    """Who believes in a permit has it, and there are never more of them than permits."""
    found = {tenure.holder: tenure for tenure in tenures}
    changes: list[tuple[float, int, int]] = []
    for belief in beliefs:
        tenure = found.get(belief.holder)
        ended = FOREVER if belief.ended is None else belief.ended
        who = f"{belief.client} with permit {belief.holder[:8]}, token {belief.token}, {belief.began:.3f}-{ended:.3f}"
        if tenure is None or (tenure.token != belief.token and not tenure.is_taken):
            yield f"the store never showed {who}"
            continue
        if belief.began < tenure.began or (ended > tenure.ended and not tenure.is_taken):
            yield f"the store showed it only {tenure.began:.3f}-{tenure.ended:.3f}: {who}"
        quiet_until = history.first_fault_at or 0.0
        if tenure.began + AT_ONCE_SECONDS < belief.began <= quiet_until:
            yield f"{belief.client} heard of its permit after {belief.began - tenure.began:.2f} s"
        ended = min(ended, tenure.ended) if tenure.is_taken else ended
        if belief.began < ended:
            changes += [(belief.began, 2, 1), (ended, 1, -1)]
    changes += [(step.at, 0, step.after["limit"] + step.after["extra"]) for step in steps]
    yield from _never_more_than_there_are(changes)


def _never_more_than_there_are(changes: list[tuple[float, int, int]]) -> Iterator[str]:
    believing, size = 0, 0
    for at, what, number in sorted(changes):
        if what == 0:
            size = number
        else:
            believing += number
            if believing > size:
                yield f"{believing} believe at {at:.3f} that they have one of {size} permits"


def value_of(spec: Spec) -> Any:
    """How many permits are free."""
    return spec["limit"] + spec["extra"] - len(spec["permits"])
