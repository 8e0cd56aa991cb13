"""The rules of a session: one elector's life in the store, kept alive by renewals, ended by observation.

A session is a lease. Its owner renews it; whoever wants something that hangs on it must first see it *silent* (the
same id, epoch, seq and version for the whole observation time, by the observer's own clock) and then *end* it by a
conditional write. That write is what makes a late renewal fail. Nobody compares clocks with anybody.

        create            renew (seq + 1)             end
    ─────────────> live ───────────────────> live ──────────> ended
                     │    adopt (epoch + 1)                     ^
                     └──── missing ──> gone ────── end ─────────┘

    event          live                              gone       ended
    renew          same nonce and epoch: live        refused    refused
    adopt          seq >= 1: live, epoch + 1         refused    refused
    end            ended                             ended      refused
    (not found)    a record in state gone is created; from that write on the full observation runs

* `lease_seconds` is the writer's and never changes within a session; everybody uses the record's, never a setting.
* Nothing is claimed under a session, and nobody adopts it, before its first renewal (seq >= 1): a late copy of its
  `create` must not come to life.
* A read never proves absence. Who finds no record creates one in state `gone`, which nobody can renew or adopt.
* `ended` is final.

The shape follows client-go's leader election (only locally observed change times decide) with the two-object order of
Gray and Cheriton's leases: first the session ends, only then is anything taken that hangs on it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND: Final = "session"
"""The store's word for these records."""

CLOCK_RATE_MARGIN: Final = 1.01
OBSERVATION_MARGIN_SECONDS: Final = 0.5
LEASE_SECONDS_UNKNOWN: Final = 3600.0
"""The longest lease that an elector can have."""


class State(StrEnum):
    """Where a session stands. `gone` was found missing and waits to be ended; `ended` is final."""

    LIVE = "live"
    GONE = "gone"
    ENDED = "ended"


class IllegalTransition(Exception):
    """The session's state does not allow the event. Nothing was changed."""


class ForeignWriter(IllegalTransition):
    """Another process renews or adopted this session: someone else runs under our identity."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a session record says. `identity` and `owner` tell whose it is: to an elector, and to people."""

    identity: str
    owner: str
    lease_seconds: float
    epoch: int
    seq: int
    nonce: str
    boot_id: str
    state: State
    renewed_at: str

    def to_spec(self) -> dict[str, Any]:
        """The stored form."""
        return asdict(self) | {"state": self.state.value}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Session:
        """Read the stored form, or what a person or a newer elector made of it: such a record has to end as any other.

        What is missing is as if it had never been renewed, so nobody adopts it.
        """
        found = {key: spec[key] for key in _UNWRITTEN if key in spec}
        return cls(**{**_UNWRITTEN, **found, "state": State(found.get("state", State.LIVE))})


_UNWRITTEN: Final[dict[str, Any]] = asdict(
    Session(
        identity="",
        owner="",
        lease_seconds=LEASE_SECONDS_UNKNOWN,
        epoch=0,
        seq=0,
        nonce="",
        boot_id="",
        state=State.LIVE,
        renewed_at="",
    )
)


@dataclass(frozen=True, slots=True)
class Observation:
    """When this observer first saw a session as it still is. `observed_at` is read after the answer was there."""

    mark: tuple[int, int, int]
    observed_at: float


def new_session_id(identity: str, random_bits: int) -> str:
    """An id for one `create`: the identity is an index to find one's own by, the 128 random bits make it unique."""
    return f"{identity}-{random_bits:032x}"


def begin(identity: str, owner: str, lease_seconds: float, nonce: str, boot_id: str, wall: str) -> Session:
    """A session as it is created. It is unusable until its first renewal."""
    return Session(
        identity=identity,
        owner=owner,
        lease_seconds=lease_seconds,
        epoch=1,
        seq=0,
        nonce=nonce,
        boot_id=boot_id,
        state=State.LIVE,
        renewed_at=wall,
    )


def renew(session: Session, nonce: str, epoch: int, wall: str) -> Session:
    """The owner's sign of life.

    Raises:
        ForeignWriter: the record carries another process's nonce, or a higher epoch.
        IllegalTransition: the session is gone or ended.
    """
    if session.nonce != nonce or session.epoch != epoch:
        raise ForeignWriter(f"the session is renewed by another process (epoch {session.epoch}, ours {epoch})")
    if session.state is not State.LIVE:
        raise IllegalTransition(f"a session that is {session.state.value} cannot be renewed")
    return replace(session, seq=session.seq + 1, renewed_at=wall)


def is_adoptable(session: Session, boot_id: str) -> bool:
    """Whether a restarted elector may go on with this session of its own identity."""
    return session.state is State.LIVE and session.seq >= 1 and session.boot_id == boot_id


def adopt(session: Session, nonce: str, boot_id: str, wall: str) -> Session:
    """A restarted elector goes on with the session of the process before it. The lease stays what it was.

    Raises:
        IllegalTransition: the session is not live, was never renewed, or belongs to another boot of the machine.
    """
    if not is_adoptable(session, boot_id):
        raise IllegalTransition(f"a session that is {session.state.value} with seq {session.seq} cannot be adopted")
    return replace(session, epoch=session.epoch + 1, seq=session.seq + 1, nonce=nonce, renewed_at=wall)


def end(session: Session) -> Session:
    """The last transition; whatever hangs on the session may be taken from now on.

    Raises:
        IllegalTransition: the session has ended before.
    """
    if session.state is State.ENDED:
        raise IllegalTransition("the session has ended before")
    return replace(session, state=State.ENDED)


def missing(lease_seconds: float, wall: str) -> Session:
    """What to create in the place of a session that a read did not find. `lease_seconds` comes from the lock record."""
    return Session(
        identity="",
        owner="",
        lease_seconds=lease_seconds,
        epoch=0,
        seq=0,
        nonce="",
        boot_id="",
        state=State.GONE,
        renewed_at=wall,
    )


def observation_seconds(lease_seconds: float) -> float:
    """How long a session must be seen unchanged before it may be ended."""
    return CLOCK_RATE_MARGIN * lease_seconds + OBSERVATION_MARGIN_SECONDS


def observe(before: Observation | None, session: Session, version: int, now: float) -> Observation:
    """Note a sighting at `now`. Only an unchanged (epoch, seq, version) keeps the time of the first one."""
    mark = (session.epoch, session.seq, version)
    if before is not None and before.mark == mark:
        return before
    return Observation(mark, now)


def is_silent(observation: Observation, session: Session, now: float) -> bool:
    """Whether the session has been seen unchanged for long enough that its owner has stopped by its own clock."""
    return now - observation.observed_at >= observation_seconds(session.lease_seconds)
