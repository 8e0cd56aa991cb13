"""The permits of one semaphore that this process holds, and how they are given back.

    release(n) ── own permits first, oldest first: this thread's, then the process's ──┐
                                                                                       ├── one request, one write
                  for the rest the elector takes anybody's permits, or makes new ones ─┘

A release of nothing but own permits is like that of a lock: nobody here believes in them from that moment, and what can
not be done in a second, the keeper goes on with. Whoever releases more than his process holds must know that it worked,
because nothing would ever make up for it.

Permits stay presented until the elector has confirmed their return: an elector that restarts in between would free
those that nobody presents, and the release, when it arrives, would be taken for one of somebody else's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from metaparticle_sync import wire
from metaparticle_sync._answers import Heard, Refused
from metaparticle_sync._calling import call_once
from metaparticle_sync._clock import now
from metaparticle_sync._farewells import Farewell
from metaparticle_sync._holds import Hold, Shared, this_thread
from metaparticle_sync._keeper import RELEASE_SECONDS
from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable

if TYPE_CHECKING:
    from metaparticle_sync._answers import SemaphoreState
    from metaparticle_sync._keeper import Keeper
    from metaparticle_sync._sidecar import Sidecar
    from metaparticle_sync._waiting import Patience

_REQUEST_SECONDS_MIN: Final = 0.05


class SharedSemaphore(Shared):
    """A semaphore. `value` is the last that was heard of it."""

    __slots__ = ("bounded", "given_back", "limit", "losses", "operations", "permits", "terms", "value")

    kind = "semaphore"
    collection = wire.SEMAPHORES_PATH

    def __init__(self, name: str, limit: int, bounded: bool) -> None:  # noqa: FBT001 -- `shared_of` passes it on
        super().__init__(name)
        self.limit = self.value = limit
        self.bounded = bounded
        self.operations = 0
        """How many operations it had seen when the elector last told."""
        self.terms = f',"limit":{limit},"bounded":{"true" if bounded else "false"}'
        self.permits: dict[str, Hold] = {}
        """By holder id."""
        self.losses: deque[Hold] = deque(maxlen=wire.PERMITS_MAX)
        """Permits that were lost, and whose holders have not tried to release them yet."""
        self.given_back = 0
        """Permits that went back when the process began to end, and that a thread which still runs may yet release."""

    def note(self, state: SemaphoreState) -> None:
        """What the elector just told."""
        self.value, self.operations = state

    def believe(self, hold: Hold) -> None:
        self.permits[hold.holder] = hold

    def believes_in(self, hold: Hold) -> bool:
        return hold.holder in self.permits

    def forget(self, hold: Hold) -> bool:
        return self.permits.pop(hold.holder, None) is not None

    def lose(self, hold: Hold) -> None:
        if self.forget(hold):
            self.losses.append(hold)

    def forget_all(self) -> None:
        self.permits.clear()
        self.losses.clear()

    def close(self) -> None:
        self.given_back += len(self.permits)

    def held(self) -> int:
        """How many permits this process certainly holds."""
        at = now()
        return sum(permit.is_valid(at) for permit in list(self.permits.values()))

    def oldest(self, count: int) -> list[Hold]:
        """Up to so many permits: the oldest of this thread, then the oldest of the process."""
        thread = this_thread()
        permits = sorted(self.permits.values(), key=lambda permit: (permit.thread != thread, permit.token))
        return permits[:count]

    def take_losses(self, count: int) -> list[Hold]:
        """Up to so many losses that this thread, or nobody in particular, has to be told of at its release."""
        thread = this_thread()
        mine = [loss for loss in self.losses if loss.thread == thread]
        told = (mine if mine or self.permits else list(self.losses))[:count]
        for loss in told:
            self.losses.remove(loss)
        return told

    def take_given_back(self, count: int) -> int:
        """Up to so many of those that have gone back already."""
        taken = min(count, self.given_back)
        self.given_back -= taken
        return taken

    def take_loss(self, hold: Hold) -> None:
        """The holder of this one has been told."""
        if hold in self.losses:
            self.losses.remove(hold)


class _Return:
    """Permits on their way back, under one operation id: however often it is said, it is done once."""

    def __init__(self, keeper: Keeper, shared: SharedSemaphore) -> None:
        self.key = wire.new_id()
        self.own: list[Hold] = []
        self.others = 0
        """How many permits are released besides that this process does not hold."""
        self._keeper = keeper
        self._shared = shared
        self._heard: Heard | None = None
        """What was known when it was first said."""

    def say(self, sidecar: Sidecar, timeout: float) -> None:
        """Say it, to an elector that knows us."""
        keeper = self._keeper
        until = now() + timeout
        if not keeper.is_attached:
            keeper.attach(until)
        seen = keeper.attachments
        try:
            self.send(sidecar, keeper.client, max(_REQUEST_SECONDS_MIN, until - now()))
        except Refused as refusal:
            if refusal.code != "unknown_client":
                raise
            keeper.detached(seen)
            raise ElectorUnavailable(str(refusal), address=keeper.address.url) from None

    def refused(self) -> None:
        """The elector had something against it, and nobody wants these permits any more."""
        own, self.own = self.own, []
        self._give_up(own)

    def send(self, sidecar: Sidecar, client: str, timeout: float) -> None:
        """One request, if there is anything left to say."""
        self._part_with_uncertain()
        shared = self._shared
        holders = [hold.holder for hold in self.own]
        count = len(holders) + self.others
        if count:
            if self._heard is None:
                self._heard = Heard(self._keeper.holds.term.incarnation, shared.operations)
            give_back = sidecar.release_permits
            shared.note(give_back(shared.path, client, self.key, shared.terms, count, holders, self._heard, timeout))
            self._keeper.holds.parted(self.own)

    def _part_with_uncertain(self) -> None:
        """What may have been freed by time alone must not be released once more, but given up, if it is still there."""
        at = now()
        uncertain = [hold for hold in self.own if not hold.is_valid(at)]
        self.own = [hold for hold in self.own if hold not in uncertain]
        self._give_up(uncertain)

    def _give_up(self, permits: list[Hold]) -> None:
        self._keeper.holds.parted(permits)
        for permit in permits:
            self._keeper.leave(Farewell(self._shared.path, permit.client, permit.holder))


def release(
    keeper: Keeper, shared: SharedSemaphore, patience: Patience, count: int, entered: Hold | None = None
) -> None:
    """Release so many permits, all or none; first of all the one `entered`, if it is still held.

    Raises:
        LockLost: a permit of this thread was lost before. It counts as one of those that are released.
        ValueError: it is bounded, and fewer permits are held; or others name another limit.
        ElectorUnavailable: this process does not hold so many, and whether it worked is not known.
    """
    if shared.held() < len(shared.permits):
        keeper.expire()
    losses: list[Hold] = []
    returning = _Return(keeper, shared)

    def choose() -> list[Hold]:
        if entered is not None and shared.believes_in(entered):
            returning.own = [entered]
        else:
            losses.extend(shared.take_losses(count))
            returning.own = shared.oldest(count - len(losses))
        return returning.own

    try:
        own = keeper.holds.part_with(choose)
        others = count - len(losses) - len(own)
        returning.others = others - shared.take_given_back(others)
        _release(keeper, shared, patience, returning)
    except (ElectorRefused, ValueError):
        shared.losses.extendleft(reversed(losses))  # Nothing was released: the next release tells of them.
        raise
    except ElectorUnavailable:
        raise
    except BaseException:  # An interrupt, at whatever line: nobody believes in these permits any more, so they go back.
        keeper.holds.part_with(lambda: returning.own)
        keeper.leave(returning)
        raise
    if losses:
        raise losses[0].loss()


def forget_surplus(keeper: Keeper, shared: SharedSemaphore) -> None:
    """Of more permits than one record has room for, the oldest have been taken over by others' releases.

    Without this, a process that only acquires what others release would remember every permit that it ever had.
    """
    surplus = len(shared.permits) - wire.PERMITS_MAX
    if surplus > 0:
        for permit in sorted(shared.permits.values(), key=lambda permit: permit.token)[:surplus]:
            keeper.holds.forget(permit.holder)


def _release(keeper: Keeper, shared: SharedSemaphore, patience: Patience, returning: _Return) -> None:
    if returning.others:
        _release_others(keeper, patience, returning)
    elif returning.own:
        _release_own(keeper, shared, returning)


def _release_own(keeper: Keeper, shared: SharedSemaphore, returning: _Return) -> None:
    count = len(returning.own)
    shared.value += count  # In case that the elector is away.
    refusal = keeper.say(returning, RELEASE_SECONDS)
    if refusal is None:
        return
    shared.value -= count
    if refusal.code == "semaphore_full" and count > 1:
        keeper.holds.take_back(returning.own)  # Others have given back some of these; it is not known which.
    else:
        returning.refused()
    raise explained(refusal)


def _release_others(keeper: Keeper, patience: Patience, returning: _Return) -> None:
    def send(client: str, timeout: float) -> None:
        returning.send(keeper.sidecar, client, timeout)

    try:
        call_once(keeper, patience, send, explain=explained)
    except ElectorUnavailable:
        returning.others = 0  # The caller is told that nobody knows, and may try again.
        keeper.leave(returning)
        raise
    except (ElectorRefused, ValueError):
        keeper.holds.take_back(returning.own)
        raise
    except BaseException:  # An interrupt.
        keeper.leave(returning)
        raise


def explained(refusal: Refused | ElectorRefused) -> Exception:
    """The error for whoever used a semaphore in a way that is refused."""
    if refusal.code == "semaphore_full":
        return ValueError("Semaphore released too many times")
    if refusal.code == "limit_mismatch":
        return ValueError(str(refusal).removeprefix(f"{refusal.code}: "))
    return ElectorRefused(str(refusal), code=refusal.code, status=refusal.status)
