"""Every way in which the elector says no.

A problem is raised where it is found and rendered in one place (`resources/rendering.py`). Its `code` is the stable
part, a key of `wire.STATUS_OF_CODE`; its `detail` is one sentence for a person: what, which, who has it, what to do
next.

Problem
├── the request is wrong      BadBody, BadName, BadPath, BadMethod, BodyTooLarge, UnsupportedMediaType, WrongHost,
│                             CrossOrigin
├── the answer is no          LockHeld, NoPermit, NotHeld, NotAHolder, HolderDead, UnknownClient, SemaphoreFull,
│                             BarrierBroken, LimitMismatch, PartiesMismatch, LegacyDisabled, LegacyTooShort
├── not now, ask again        ElectorStarting, ElectorStopping, ElectorBusy, StoreDown, QueueFull, NoRoom
└── the elector is wrong      InternalError
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypedDict

from metaparticle_sync import wire

_HOLDER_OF: Final = {"condition": "wait", "barrier": "arrival"}
"""What a holder id names, where it is not an acquisition."""


class HeldBy(TypedDict):
    """Who holds a lock, as a problem tells it: no secret is among it."""

    owner: str
    process: str
    since: str
    token: str


class Problem(Exception):
    """A refusal with a stable `code`, one sentence of `detail` and, where somebody else holds, `held_by`."""

    def __init__(self, code: str, detail: str, held_by: HeldBy | None = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.held_by = held_by

    @property
    def status(self) -> int:
        """The HTTP status of this code."""
        return wire.STATUS_OF_CODE[self.code]

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class BadBody(Problem):
    """The body is not the JSON object that this call takes."""

    def __init__(self, detail: str) -> None:
        super().__init__("bad_body", detail)


class BadName(Problem):
    """The name in the path can name nothing."""

    def __init__(self, detail: str) -> None:
        super().__init__("bad_name", detail)


class BadPath(Problem):
    """The path leads nowhere. Not 404: that would mean "the lock is free"."""

    def __init__(self, path: str, hint: str = "/openapi.json lists every path") -> None:
        super().__init__("bad_path", f"nothing is at {path!r}: {hint}")


class BadMethod(Problem):
    """The path is right and the method is not. `allowed` goes into the Allow header."""

    def __init__(self, method: str, path: str, allowed: Iterable[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__("bad_method", f"{method} is not possible on {path!r}; possible: {', '.join(self.allowed)}")


class BodyTooLarge(Problem):
    """More bytes than any call takes."""

    def __init__(self) -> None:
        super().__init__("body_too_large", f"a body has at most {wire.BODY_BYTES_MAX} bytes, this one has more")


class UnsupportedMediaType(Problem):
    """The body declares another type than JSON."""

    def __init__(self, media_type: str) -> None:
        super().__init__(
            "unsupported_media_type", f"the body is {media_type!r}; send JSON with Content-Type: {wire.JSON_TYPE}"
        )


class WrongHost(Problem):
    """The Host header names a machine that this elector does not answer for."""

    def __init__(self, host: str) -> None:
        super().__init__(
            "wrong_host",
            f"this elector does not answer for host {host!r}; use localhost or 127.0.0.1,"
            " or start it with --allowed-host",
        )


class CrossOrigin(Problem):
    """The request comes from a web page."""

    def __init__(self, header: str, value: str) -> None:
        super().__init__("cross_origin", f"no web page may call the elector; this request has {header}: {value[:200]}")


class LockHeld(Problem):
    """A claim found the lock with somebody else."""

    def __init__(self, name: str, held_by: HeldBy | None = None) -> None:
        super().__init__(
            "lock_held", f"lock {name!r} is held by {_who(held_by)}; give wait_seconds to queue for it", held_by
        )


class NotHeld(Problem):
    """A release by someone who does not hold."""

    def __init__(self, name: str, held_by: HeldBy | None = None) -> None:
        detail = (
            f"lock {name!r} is free: there is nothing to release"
            if held_by is None
            else f"lock {name!r} is held by {_who(held_by)}: only its holder can release it"
        )
        super().__init__("not_held", detail, held_by)


class NotAHolder(Problem):
    """A permit is given up by someone who neither holds nor waits for one."""

    def __init__(self, name: str, holder: str, *, is_anothers: bool = False) -> None:
        reason = "belongs to another client" if is_anothers else "neither holds a permit nor waits for one"
        super().__init__("not_held", f"holder {wire.short_id(holder)}... of semaphore {name!r} {reason}")


class HolderDead(Problem):
    """The holder id was released, given up or lost; it never comes back."""

    def __init__(self, name: str, holder: str, kind: str = "lock") -> None:
        super().__init__(
            "holder_dead",
            f"holder {wire.short_id(holder)}... of {kind} {name!r} was released, given up or lost:"
            f" use a fresh id for each {_HOLDER_OF.get(kind, 'acquisition')}",
        )


class NoPermit(Problem):
    """A claim found no permit of a semaphore free. `held_by` is who holds the oldest of those that are held."""

    def __init__(self, name: str, held: int, held_by: HeldBy | None) -> None:
        why = (
            "nobody holds one, so somebody has to release one first"
            if held_by is None
            else f"{held} are held, the oldest by {_who(held_by)}"
        )
        detail = f"semaphore {name!r} has no permit left: {why}; give wait_seconds to queue for one"
        super().__init__("no_permit", detail, held_by)


class SemaphoreFull(Problem):
    """A bounded semaphore was released more often than acquired."""

    def __init__(self, name: str, permits: int, held: int) -> None:
        super().__init__(
            "semaphore_full",
            f"bounded semaphore {name!r} can not take {permits} back, because {held or 'none'} of its permits"
            f" {'are' if held > 1 else 'is'} held; nothing was released",
        )


class BarrierBroken(Problem):
    """A party left or died, or somebody aborted or reset the barrier. `acting` wanted to open it."""

    def __init__(self, name: str, acting: str | None = None) -> None:
        detail = (
            f"barrier {name!r} is broken: a party left or died, or somebody aborted or reset it; after a reset it can"
            " be used again"
            if acting is None
            else f"barrier {name!r} does not wait for holder {wire.short_id(acting)}... to open it: it is broken, or"
            " open already, or another party acts"
        )
        super().__init__("barrier_broken", detail)


class LimitMismatch(Problem):
    """Two users of one name disagree about the semaphore. `used_by` is the other one, in words."""

    def __init__(self, name: str, ours: str, theirs: str, used_by: str) -> None:
        super().__init__("limit_mismatch", _mismatch(name, ours, theirs, used_by))


class PartiesMismatch(Problem):
    """Two users of one name disagree about the number of parties of a barrier."""

    def __init__(self, name: str, ours: str, theirs: str, used_by: str) -> None:
        super().__init__("parties_mismatch", _mismatch(name, ours, theirs, used_by))


class UnknownClient(Problem):
    """No session of that client is open here."""

    def __init__(self, client: str) -> None:
        super().__init__(
            "unknown_client",
            f"this elector knows no session of client {wire.short_id(client)}...:"
            " open it with PUT /sessions/<client>, then repeat",
        )


class LegacyDisabled(Problem):
    """The lease is too short for the original protocol's heartbeat."""

    def __init__(self, lease_seconds: float) -> None:
        super().__init__(
            "legacy_disabled",
            f"requests without a body need a lease of at least 20 s, this elector has {lease_seconds:g} s:"
            " send a JSON body, or start it with a longer --lease-seconds",
        )


class LegacyTooShort(Problem):
    """The elector is not sure enough of its own session to promise the time until the next heartbeat."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "legacy_too_short",
            f"lock {name!r} can not be promised for the {wire.LEGACY_PROMISE_SECONDS:g} s until the next heartbeat:"
            " the store has not answered lately; ask again",
        )


class ElectorStarting(Problem):
    """The elector has no session in the store yet."""

    def __init__(self, reason: str) -> None:
        super().__init__("elector_starting", f"the elector is not ready yet ({reason}); ask again")


class ElectorStopping(Problem):
    """The elector is on its way out."""

    def __init__(self) -> None:
        super().__init__("elector_stopping", "the elector is stopping; ask again once it is back")


class ElectorBusy(Problem):
    """The elector has no room for more."""

    def __init__(self, reason: str) -> None:
        super().__init__("elector_busy", f"the elector takes no more for now ({reason}); ask again later")


class StoreDown(Problem):
    """The store did not answer, or refused."""

    def __init__(self, reason: str) -> None:
        super().__init__("store_unavailable", f"the elector's store is out of reach ({reason}); ask again")


class OutcomeLost(StoreDown):
    """Nobody can ever know whether it was done."""


class QueueFull(Problem):
    """The queue of one lock is at its bound."""

    def __init__(self, name: str, waiters: int) -> None:
        super().__init__("queue_full", f"{waiters} already wait for lock {name!r}, the most there can be; ask later")


class NoRoom(Problem):
    """A record has as many claimants as it has room for. `detail` says which."""

    def __init__(self, kind: str, name: str, detail: str) -> None:
        super().__init__("queue_full", f"{kind} {name!r} has no room for more: {detail}; ask later")


class InternalError(Problem):
    """A defect of the elector; its log has the traceback."""

    def __init__(self) -> None:
        super().__init__("internal_error", "the elector failed on this request; its log says how")


def _who(held_by: HeldBy | None) -> str:
    if held_by is None:
        return "somebody else"
    return f"{held_by['process'] or 'a process'} at {held_by['owner']} since {held_by['since']}"


def _mismatch(name: str, ours: str, theirs: str, used_by: str) -> str:
    return f"{name!r} is in use as {theirs} by {used_by}, not as {ours}: agree on one of them, or use another name"
