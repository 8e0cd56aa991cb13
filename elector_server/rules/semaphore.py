"""The rules of a semaphore record: how many permits there are, who holds them, who is next.

    value = limit + extra - permits held          exactly the number that `threading` keeps

                acquire, value > 0                     release, leave, session ended
    (nobody) ─────────────────────> permit ──────────────────────────────────────────> (nobody)
        │                             ^
        └── acquire, value = 0 ─> ticket, first come first served: a permit that comes free goes to the first one

* A release by a process that holds permits gives back its own. One by a process that holds none takes over the oldest
  permit of anybody, so that its holder's death can not give it back twice. With none held, the value of a plain
  semaphore grows (`extra`), and a bounded one refuses: `threading.BoundedSemaphore` raises ValueError there.
* A release of several is one step: all of them or none.
* Everybody names the same limit. Another one is taken only when the semaphore is at rest, and whoever used it last has
  ended, or is the asking process itself.
* Tokens rise as for locks: a permit's is the version replaced + 1, or that of the `create` that made it. Permits that
  one write gave have the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from elector_server.rules.claimant import Claimant, Hold, claimant_from_spec, claimant_to_spec
from elector_server.rules.shared import (
    CLAIMANTS_MAX,
    NO_OPERATIONS,
    OPERATIONS_REMEMBERED,
    At,
    Operations,
    RecordFull,
    Refusal,
    TermsDiffer,
    confirmed,
    digest,
    is_same,
    placed_behind,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

KIND: Final = "semaphore"


class NoPermit(Refusal):
    """All permits are held, and the caller does not wait."""


class SemaphoreFull(Refusal):
    """A bounded semaphore has all its permits already."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What each user of a semaphore says of it."""

    limit: int
    bounded: bool

    def __str__(self) -> str:
        return f"a {'bounded ' if self.bounded else ''}semaphore of {self.limit}"


@dataclass(frozen=True, slots=True)
class Permit:
    """One permit that is held. `token` is None until somebody replaces the record that a `create` made."""

    claimant: Claimant
    acquired_at: str
    token: int | None


@dataclass(frozen=True, slots=True)
class Semaphore:
    """What a semaphore record says. `used_by` is who acquired or released last."""

    terms: Terms
    extra: int = 0
    permits: tuple[Permit, ...] = ()
    queue: tuple[Claimant, ...] = ()
    used_by: Claimant | None = None
    operations: Operations = NO_OPERATIONS
    taken_over: tuple[str, ...] = ()
    """Digests of the last permits that others' releases took over: whoever never heard of his had it all the same."""
    _standing: dict[str, Permit | Claimant] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Permits and tickets by holder, filled when first asked for: all who wait ask with each change."""

    @property
    def value(self) -> int:
        """How many can be acquired before somebody has to wait."""
        return self.terms.limit + self.extra - len(self.permits)

    @property
    def is_at_rest(self) -> bool:
        """Whether it is as it was made."""
        return not self.permits and not self.queue and self.extra == 0

    def to_spec(self) -> dict[str, Any]:
        """The stored form; tokens are decimal text."""
        spec: dict[str, Any] = {"limit": self.terms.limit, "bounded": self.terms.bounded, "extra": self.extra}
        spec["permits"] = [_permit_to_spec(permit) for permit in self.permits]
        spec["queue"] = [claimant_to_spec(ticket) for ticket in self.queue]
        if self.used_by is not None:
            spec["used_by"] = claimant_to_spec(self.used_by)
        if self.taken_over:
            spec["taken_over"] = list(self.taken_over)
        return spec | self.operations.to_spec()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Semaphore:
        """Read the stored form."""
        used_by = spec.get("used_by")
        return cls(
            terms=Terms(spec.get("limit", 0), spec.get("bounded", False)),
            extra=spec.get("extra", 0),
            permits=tuple(_permit_from_spec(permit) for permit in spec.get("permits", ())),
            queue=tuple(claimant_from_spec(ticket) for ticket in spec.get("queue", ())),
            used_by=None if used_by is None else claimant_from_spec(used_by),
            operations=Operations.from_spec(spec),
            taken_over=tuple(spec.get("taken_over", ())),
        )

    def claimants(self) -> Iterable[Claimant]:
        """Those who hold, then those who wait."""
        return (*(permit.claimant for permit in self.permits), *self.queue)

    def permit_of(self, holder: str) -> Permit | None:
        """The permit of that acquisition."""
        found = self.standing(holder)
        return found if isinstance(found, Permit) else None

    def standing(self, holder: str) -> Permit | Claimant | None:
        """The permit of that acquisition, or its ticket in the queue."""
        if not self._standing:
            self._standing.update((ticket.hold.holder, ticket) for ticket in self.queue)
            self._standing.update((permit.claimant.hold.holder, permit) for permit in self.permits)
        return self._standing.get(holder)

    def leave(self, hold: Hold, at: At) -> Semaphore:
        """Its permit goes to the next, its ticket goes."""
        return _promoted(replace(self, permits=_without(self.permits, hold), queue=without(self.queue, hold)), at)

    def advanced(self, at: At) -> Semaphore:
        """Permits that are free go to those who wait."""
        return _promoted(self, at)

    def forget(self, hold: Hold) -> Semaphore:
        """Its ticket goes. Nobody is told an outcome and keeps nothing."""
        return replace(self, queue=without(self.queue, hold))

    def confirm(self, claimant: Claimant, token: int | None, at: At) -> Semaphore:
        """Its permit or ticket under the new epoch. The client's token is taken if it can be right."""
        permits = tuple(
            Permit(claimant, permit.acquired_at, _confirmed_token(permit, token, at.version))
            if is_same(permit.claimant, claimant)
            else permit
            for permit in self.permits
        )
        return replace(self, permits=permits, queue=confirmed(self.queue, claimant))

    def written_over(self, version: int) -> Semaphore:
        """The tokens that a `create` could not write."""
        if all(permit.token is not None for permit in self.permits):
            return self
        permits = tuple(
            permit if permit.token is not None else replace(permit, token=version) for permit in self.permits
        )
        return replace(self, permits=permits)

    def depends_on(self, session: str) -> dict[str, float]:
        """Those who hold, as far as it is this elector's task to look at them."""
        return placed_behind(self.queue, (permit.claimant for permit in self.permits), session)

    def remembering(self, operation: str) -> Semaphore:
        """With one more operation that was applied."""
        return replace(self, operations=self.operations.plus(operation))


def _permit_to_spec(permit: Permit) -> dict[str, Any]:
    spec = claimant_to_spec(permit.claimant) | {"acquired_at": permit.acquired_at}
    return spec if permit.token is None else spec | {"token": str(permit.token)}


def _permit_from_spec(spec: Mapping[str, Any]) -> Permit:
    token = spec.get("token")
    return Permit(claimant_from_spec(spec), spec.get("acquired_at", ""), None if token is None else int(token))


def _confirmed_token(permit: Permit, presented: int | None, version: int) -> int | None:
    if permit.token is None and presented is not None and 0 < presented <= version:
        return presented
    return permit.token


def acquire(
    semaphore: Semaphore | None, claimant: Claimant, terms: Terms, at: At, *, queues: bool, alone: bool
) -> Semaphore:
    """The record with a permit for this claimant, or with its ticket at the end of the queue. Who has either keeps it.

    Args:
        semaphore: the record, if there is one.
        claimant: who wants a permit.
        terms: what it says the semaphore is.
        at: where and when.
        queues: whether it waits if there is none.
        alone: whether no other process of this elector uses the semaphore.

    Raises:
        TermsDiffer: somebody else says that it is another one.
        NoPermit: there is none, and it does not wait.
        RecordFull: there is no room for it.
    """
    semaphore = _promoted(replace(_agreed(semaphore, terms, at, alone=alone), used_by=claimant), at)
    if semaphore.standing(claimant.hold.holder) is not None:
        return semaphore
    if semaphore.value > 0 and not semaphore.queue:
        return _granted(semaphore, claimant, at)
    if not queues:
        raise NoPermit
    if len(semaphore.queue) >= CLAIMANTS_MAX:
        raise RecordFull(f"{CLAIMANTS_MAX} wait already")
    return replace(semaphore, queue=(*semaphore.queue, claimant))


def release(
    semaphore: Semaphore | None,
    user: Claimant,
    terms: Terms,
    at: At,
    *,
    permits: int,
    own: Collection[str],
    alone: bool,
) -> Semaphore:
    """The record after `permits` were given back: first those of the holders in `own`, then anybody's, then new ones.

    Raises:
        TermsDiffer: as for `acquire`.
        SemaphoreFull: it is bounded, and fewer are held. Nothing is given back then.
    """
    semaphore = replace(_agreed(semaphore, terms, at, alone=alone), used_by=user)
    holders = frozenset(own)
    left = [permit for permit in semaphore.permits if permit.claimant.hold.holder not in holders]
    others = permits - (len(semaphore.permits) - len(left))
    grown = max(0, others - len(left))
    if grown and semaphore.terms.bounded:
        raise SemaphoreFull
    taken = (digest(permit.claimant.hold.holder) for permit in left[: max(0, others)])
    semaphore = replace(semaphore, taken_over=(*semaphore.taken_over, *taken)[-OPERATIONS_REMEMBERED:])
    return _promoted(replace(semaphore, permits=tuple(left[max(0, others) :]), extra=semaphore.extra + grown), at)


def withdraw(semaphore: Semaphore, hold: Hold, at: At, *, has_joined: bool) -> Semaphore:
    """The record as if this acquisition, of which its elector knows whether it `has_joined`, had never been.

    If somebody else's release took its permit over meanwhile, that release has to count for itself. A bounded semaphore
    would have refused that release, so nothing more is given back.
    """
    standing = semaphore.standing(hold.holder)
    if standing is not None:  # Be it under the session before, which its elector has lost meanwhile.
        return semaphore.leave(standing.claimant.hold if isinstance(standing, Permit) else standing.hold, at)
    if has_joined and not semaphore.terms.bounded:
        return _promoted(replace(semaphore, extra=semaphore.extra + 1), at)
    return semaphore


def _agreed(semaphore: Semaphore | None, terms: Terms, at: At, *, alone: bool) -> Semaphore:
    if semaphore is None:
        return Semaphore(terms)
    if semaphore.terms == terms:
        return semaphore
    if semaphore.is_at_rest and _is_free_to_change(semaphore.used_by, at, alone=alone):
        return replace(semaphore, terms=terms)
    raise TermsDiffer(str(terms), str(semaphore.terms), semaphore.used_by)


def _is_free_to_change(used_by: Claimant | None, at: At, *, alone: bool) -> bool:
    if used_by is None:
        return True
    return alone if used_by.hold.session == at.session else at.ended(used_by.hold.session)


def _promoted(semaphore: Semaphore, at: At) -> Semaphore:
    """Permits that came free go to the first in the queue; tickets of dead electors are dropped on the way."""
    while semaphore.value > 0 and semaphore.queue and len(semaphore.permits) < CLAIMANTS_MAX:
        first, *others = semaphore.queue
        semaphore = replace(semaphore, queue=tuple(others))
        if not at.ended(first.hold.session):
            semaphore = _granted(semaphore, first, at)
    return semaphore


def _granted(semaphore: Semaphore, claimant: Claimant, at: At) -> Semaphore:
    if len(semaphore.permits) >= CLAIMANTS_MAX:
        raise RecordFull(f"{CLAIMANTS_MAX} permits are held already")
    token = at.version + 1 if at.version else None
    return replace(semaphore, permits=(*semaphore.permits, Permit(claimant, at.wall, token)))


def _without(permits: tuple[Permit, ...], hold: Hold) -> tuple[Permit, ...]:
    return tuple(permit for permit in permits if permit.claimant.hold != hold)
