"""How answers look: the JSON of each call, and every problem in one place."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from elector_server.problems import BadMethod, Problem
from metaparticle_sync import wire

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from elector_server.acquisitions import Granted, StillWaiting
    from elector_server.semaphores import PermitGranted, PermitsReleased
    from elector_server.views import ClientStatus, LockView

LOCK_FREE: Final = "lock_free"

_RETRY_AFTER_SECONDS: Final = "1"
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def to_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8."""
    return _ENCODER.encode(value).encode()


def line(event: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return to_bytes(event) + b"\n"


def problem_body(problem: Problem) -> bytes:
    """The problem+json of a refusal."""
    return problem_json(problem.status, problem.code, problem.detail, problem.held_by)


def problem_headers(problem: Problem) -> dict[str, str]:
    """What a client should know besides: when to ask again, or what is possible here."""
    if problem.code in wire.UNAVAILABLE_CODES:
        return {"retry-after": _RETRY_AFTER_SECONDS}
    if isinstance(problem, BadMethod):
        return {"allow": ", ".join(problem.allowed)}
    return {}


def lock_free_body(name: str) -> bytes:
    """The body of the one 404 of the protocol. It is an answer, not a refusal: the lock is free."""
    return problem_json(HTTPStatus.NOT_FOUND, LOCK_FREE, f"lock {name!r} is free: nobody holds it", None)


def problem_json(status: int, code: str, detail: str, held_by: Any) -> bytes:
    """Problem details by RFC 9457."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    if held_by is not None:
        body["held_by"] = held_by
    return to_bytes(body)


def grant_body(grant: Granted) -> bytes:
    """The lock is yours."""
    return to_bytes(
        {
            "name": grant.name,
            "state": "held",
            "holder": grant.holder,
            "token": str(grant.token),
            "valid_seconds": _rounded_down(grant.valid_seconds),
            "incarnation": grant.incarnation,
        }
    )


def permit_body(grant: PermitGranted) -> bytes:
    """A permit is yours."""
    return to_bytes(
        {
            "name": grant.name,
            "state": "held",
            "holder": grant.holder,
            "token": str(grant.token),
            "valid_seconds": _rounded_down(grant.valid_seconds),
            "incarnation": grant.incarnation,
            "value": grant.value,
            "operations": grant.operations,
        }
    )


def released_body(released: PermitsReleased) -> bytes:
    """Permits went back."""
    return to_bytes({"name": released.name, "value": released.value, "operations": released.operations})


def waiting_body(waiting: StillWaiting) -> bytes:
    """The long poll is over, the place in the queue is kept for two seconds."""
    return waiting_for_body(waiting.name, waiting.holder)


def waiting_for_body(name: str, holder: str) -> bytes:
    """Not yet: ask again with the same holder id."""
    return to_bytes({"name": name, "state": "waiting", "holder": holder})


def releasing_body() -> bytes:
    """The elector goes on trying to write the release."""
    return to_bytes({"state": "releasing"})


def record_body(view: LockView, now: datetime) -> bytes:
    """The record of a held lock, as Kubernetes shows it. `expiry` is for people: what if its elector died `now`."""
    claimant = view.lock.claimant
    expiry = now + timedelta(seconds=claimant.lease_seconds)
    metadata = _metadata(claimant.metadata)
    return to_bytes(
        {
            "apiVersion": wire.API_VERSION,
            "kind": "Lock",
            "metadata": {"name": view.name, "resourceVersion": str(view.version)},
            "spec": {
                "owner": claimant.owner,
                "expiry": expiry.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "holder": wire.short_id(claimant.hold.holder),
                "token": str(view.token),
                "acquiredAt": view.lock.acquired_at,
                "process": claimant.process,
                "waiters": view.waiters,
            }
            | ({"metadata": metadata} if metadata else {}),
        }
    )


def _metadata(text: str) -> dict[str, Any]:
    """What the holder says about itself. A record that somebody wrote by hand may say anything."""
    try:
        metadata = json.loads(text) if text else {}
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def list_body(views: Iterable[LockView]) -> bytes:
    """Every held lock."""
    return to_bytes({"locks": [_list_entry(view) for view in views]})


def _list_entry(view: LockView) -> dict[str, Any]:
    claimant = view.lock.claimant
    return {
        "name": view.name,
        "holder": wire.short_id(claimant.hold.holder),
        "owner": claimant.owner,
        "process": claimant.process,
        "since": view.lock.acquired_at,
        "token": str(view.token),
        "waiters": view.waiters,
    }


def status_body(status: ClientStatus) -> bytes:
    """The answer to a client's sign of life."""
    return to_bytes(
        {
            "client": status.client,
            "incarnation": status.incarnation,
            "valid_seconds": _rounded_down(status.valid_seconds),
            "ttl_seconds": status.ttl_seconds,
            "tick_seconds": status.tick_seconds,
            "holds": list(status.holds),
            "lost": [loss.to_json() for loss in status.lost],
        }
        | ({} if status.not_ready is None else {"not_ready": status.not_ready._asdict()})
    )


def _rounded_down(seconds: float) -> float:
    """To the millisecond, and never up: it is a promise."""
    return math.floor(seconds * 1000) / 1000
