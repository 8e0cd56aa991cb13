"""What an elector's answers mean: JSON checked field by field and made into values.

Whatever does not look like an elector's answer raises `NoElector`: another server may listen on that port.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from metaparticle_sync import wire

_SHOWN_CHARACTERS = 80

_HOLDER_WORDS = (("process", "process"), ("of elector", "owner"), ("since", "since"), ("with token", "token"))


class NoElector(Exception):
    """What answered is no elector. The text says what it answered."""


class Refused(Exception):
    """An elector refused. `code` is a word of `wire.STATUS_OF_CODE`; `held_by` says in words who holds, if known."""

    def __init__(self, status: int, code: str, detail: str, held_by: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.held_by = held_by


class Answer(NamedTuple):
    """A status and the JSON that came with it. `sent_at` is the clock before the request left."""

    status: int
    content_type: str
    body: bytes
    sent_at: float
    valid_share: float
    etag: str = ""

    def json(self) -> dict[str, Any]:
        """The JSON object in the body."""
        try:
            value = json.loads(self.body)
        except ValueError:
            raise self.foreign() from None
        if not isinstance(value, dict):
            raise self.foreign()
        return value

    def foreign(self) -> NoElector:
        """The error that says what this is instead of an elector's answer."""
        text = self.body[:_SHOWN_CHARACTERS].decode("utf-8", "replace")
        return NoElector(f"HTTP {self.status}, {self.content_type or 'no content type'}, {text!r}")

    def refusal(self) -> Refused | NoElector:
        """What a status other than success means."""
        if self.status < 400:
            return self.foreign()
        fields = self.json()
        code, detail = fields.get("code"), fields.get("detail", "")
        if not isinstance(code, str) or not isinstance(detail, str):
            return self.foreign()
        return Refused(self.status, code, detail, describe_holder(fields.get("held_by")))

    def valid_until(self, seconds: float) -> float:
        """Until when something counts of which the elector said that it counts for `seconds`."""
        return self.sent_at + seconds * self.valid_share


class SemaphoreState(NamedTuple):
    """How many permits are free, and how many operations the semaphore has ever seen."""

    value: int
    operations: int


class Heard(NamedTuple):
    """What a process knew when it first asked for an operation: the elector, and how many operations there had been."""

    incarnation: str
    operations: int


class Granted(NamedTuple):
    """It is held; until when is said for the session under which it was granted. `left`: of a semaphore."""

    holder: str
    token: int
    incarnation: str
    valid_until: float
    left: SemaphoreState | None = None


class Lost(NamedTuple):
    """One hold that is no more. `is_returned`: somebody else gave it back in our place, which is no harm."""

    holder: str
    reason: str
    is_returned: bool = False


class SessionStatus(NamedTuple):
    """What each contact tells of the session."""

    incarnation: str
    not_ready: str
    valid_until: float
    tick_seconds: float
    ttl_seconds: float
    held: frozenset[str]
    lost: tuple[Lost, ...]


class EventState(NamedTuple):
    """An event's flag, and how often it was set before and with that."""

    is_set: bool
    generation: int


class Arrival(NamedTuple):
    """How a party of a barrier stands: `waiting`, `acting` or `passed`. Its number is the index that it returns."""

    state: str
    generation: int
    number: int


class BarrierState(NamedTuple):
    """A barrier: `filling`, `acting` or `broken`."""

    state: str
    generation: int
    waiting: int


class HolderView(NamedTuple):
    """Who holds a lock, for people."""

    text: str


def acquired(answer: Answer) -> Granted | None:
    """Read the answer to an acquire; None: still waiting."""
    if answer.status == 202:
        return None
    if answer.status != 200:
        raise answer.refusal()
    fields = answer.json()
    try:
        return Granted(
            fields["holder"],
            int(fields["token"]),
            fields["incarnation"],
            answer.valid_until(fields["valid_seconds"]),
            _left(answer, fields) if "value" in fields else None,
        )
    except (KeyError, TypeError, ValueError):
        raise answer.foreign() from None


def done(answer: Answer) -> None:
    """Read the answer to a release, or to the end of a session."""
    if answer.status not in {204, 202}:
        raise answer.refusal()


def event_state(answer: Answer) -> EventState:
    """Read the answer to a change of an event, or to a wait for it."""
    if answer.status not in {200, 202}:
        raise answer.refusal()
    fields = answer.json()
    return _event_state(answer, fields.get("is_set"), fields.get("generation"))


def event_view(answer: Answer) -> EventState:
    """Read the answer to a look at an event; of one that was never set, the elector knows nothing."""
    if answer.status != 200:
        refusal = answer.refusal()
        if isinstance(refusal, Refused) and refusal.code == "event_unused":
            return EventState(is_set=False, generation=0)
        raise refusal
    fields = answer.json()
    spec = fields.get("spec")
    if fields.get("kind") != "Event" or not isinstance(spec, dict):
        raise answer.foreign()
    return _event_state(answer, spec.get("isSet"), spec.get("generation"))


def _event_state(answer: Answer, is_set: object, generation: object) -> EventState:
    if not isinstance(is_set, bool) or isinstance(generation, bool) or not isinstance(generation, int):
        raise answer.foreign()
    return EventState(is_set, generation)


def ticket_state(answer: Answer) -> str:
    """Read the answer about a waiter of a condition: `waiting`, `notified` or `withdrawn`."""
    if answer.status not in {200, 202}:
        raise answer.refusal()
    state = answer.json().get("state")
    if state not in {"waiting", "notified", "withdrawn"}:
        raise answer.foreign()
    return str(state)


def notified(answer: Answer) -> int:
    """Read the answer to a notification: how many it reached."""
    if answer.status != 200:
        raise answer.refusal()
    number = answer.json().get("notified")
    if isinstance(number, bool) or not isinstance(number, int):
        raise answer.foreign()
    return number


def permits_released(answer: Answer) -> SemaphoreState:
    """Read the answer to a release of permits."""
    if answer.status != 200:
        raise answer.refusal()
    return _left(answer, answer.json())


def _left(answer: Answer, fields: dict[str, Any]) -> SemaphoreState:
    return SemaphoreState(_number(answer, fields.get("value")), _number(answer, fields.get("operations")))


def semaphore_view(answer: Answer) -> int | None:
    """Read the answer to a look at a semaphore: how many permits are free; None: nobody has used it."""
    spec = _spec_of(answer, "Semaphore", "semaphore_unused")
    return None if spec is None else _number(answer, spec.get("value"))


def arrival(answer: Answer) -> Arrival:
    """Read the answer to a party that arrives, or waits for the others."""
    if answer.status not in {200, 202}:
        raise answer.refusal()
    fields = answer.json()
    state = _word(answer, fields.get("state"), "waiting", "acting", "passed")
    return Arrival(state, _number(answer, fields.get("generation")), _number(answer, fields.get("index")))


def departure(answer: Answer) -> str:
    """Read the answer to a party that leaves: `broken`, or `passed` just then."""
    if answer.status != 200:
        raise answer.refusal()
    return _word(answer, answer.json().get("state"), "broken", "passed")


def barrier_state(answer: Answer) -> BarrierState:
    """Read the answer to a change of a barrier."""
    if answer.status != 200:
        raise answer.refusal()
    return _barrier_state(answer, answer.json())


def barrier_view(answer: Answer) -> BarrierState:
    """Read the answer to a look at a barrier; of one that nobody has used, the elector knows nothing."""
    spec = _spec_of(answer, "Barrier", "barrier_unused")
    return BarrierState("filling", 0, 0) if spec is None else _barrier_state(answer, spec)


def _barrier_state(answer: Answer, fields: dict[str, Any]) -> BarrierState:
    state = _word(answer, fields.get("state"), "filling", "acting", "broken")
    return BarrierState(state, _number(answer, fields.get("generation")), _number(answer, fields.get("waiting")))


def _word(answer: Answer, word: object, *known: str) -> str:
    if word not in known:
        raise answer.foreign()
    return str(word)


def _spec_of(answer: Answer, kind: str, unused: str) -> dict[str, Any] | None:
    if answer.status != 200:
        refusal = answer.refusal()
        if isinstance(refusal, Refused) and refusal.code == unused:
            return None
        raise refusal
    fields = answer.json()
    spec = fields.get("spec")
    if fields.get("kind") != kind or not isinstance(spec, dict):
        raise answer.foreign()
    return spec


def _number(answer: Answer, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise answer.foreign()
    return value


def session_status(answer: Answer) -> SessionStatus:
    """Read the answer to an opening or a heartbeat."""
    if answer.status != 200:
        raise answer.refusal()
    fields = answer.json()
    try:
        return SessionStatus(
            incarnation=fields["incarnation"],
            not_ready=_cause(fields.get("not_ready")),
            valid_until=answer.valid_until(fields["valid_seconds"]),
            tick_seconds=_positive(fields["tick_seconds"]),
            ttl_seconds=_positive(fields["ttl_seconds"]),
            held=frozenset(fields["holds"]),
            lost=tuple(lost(entry) for entry in fields["lost"]),
        )
    except (KeyError, TypeError, ValueError):
        raise answer.foreign() from None


def _cause(fields: Any) -> str:
    """Why the elector has no session; an older one does not say."""
    return f"not ready ({fields['code']}): {fields['reason']}" if fields else "starting"


def holder_view(answer: Answer) -> HolderView | None:
    """Read the answer to a look at a lock; None: it is free."""
    if answer.status != 200:
        refusal = answer.refusal()
        if isinstance(refusal, Refused) and refusal.code == "lock_free":
            return None
        raise refusal
    fields = answer.json()
    spec = fields.get("spec")
    if fields.get("kind") != "Lock" or not isinstance(spec, dict):
        raise answer.foreign()
    return HolderView(describe_holder({**spec, "since": spec.get("acquiredAt")}))


class LockSight(NamedTuple):
    """What a look at a lock showed: the tag of this state, and the record, unless the lock is free."""

    etag: str
    spec: dict[str, Any] | None


def lock_sight(answer: Answer) -> LockSight | None:
    """Read the answer to a look at a lock that may wait for news; None: there is none."""
    if answer.status == 304:
        return None
    if answer.status != 200:
        refusal = answer.refusal()
        if isinstance(refusal, Refused) and refusal.code == "lock_free":
            return LockSight(answer.etag, None)
        raise refusal
    fields = answer.json()
    spec = fields.get("spec")
    if fields.get("kind") != "Lock" or not isinstance(spec, dict):
        raise answer.foreign()
    if not str(spec.get("token")).isdecimal():
        raise answer.foreign()
    return LockSight(answer.etag, spec)


def lost(fields: dict[str, Any]) -> Lost:
    """Read one report of a loss.

    Raises:
        KeyError: it is none.
    """
    return Lost(str(fields["holder"]), str(fields.get("reason", "")), fields.get("returned") is True)


def describe_holder(held_by: object) -> str:
    """Who holds, in words; empty if that is not said."""
    if not isinstance(held_by, dict):
        return ""
    return " ".join(f"{word} {held_by[key]}" for word, key in _HOLDER_WORDS if held_by.get(key))


def is_not_now(refusal: Refused) -> bool:
    """Whether the same request may succeed later, and nothing was decided."""
    return refusal.code in wire.UNAVAILABLE_CODES or refusal.status >= 500


def _positive(seconds: float) -> float:
    if not 0 < seconds < float("inf"):
        raise ValueError(seconds)
    return float(seconds)
