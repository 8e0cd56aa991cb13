"""How semaphores, events, conditions and barriers look to people: records as Kubernetes shows them, without secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from elector_server.resources.rendering import problem_json
from elector_server.rules import barrier, condition, event, semaphore
from metaparticle_sync import wire

if TYPE_CHECKING:
    from elector_server.rules.claimant import Claimant
    from elector_server.store import Record

_KINDS: Final = {
    semaphore.KIND: "Semaphore",
    event.KIND: "Event",
    condition.KIND: "Condition",
    barrier.KIND: "Barrier",
}
_ENTRY_NAMES: Final = {"isSet": "is_set", "changedAt": "changed_at"}
"""A list is none of Kubernetes' objects: it has the words of all other calls."""

_UNUSED: Final = {
    semaphore.KIND: "nobody has used it yet, so it has no limit",
    event.KIND: "nobody has used it yet, so it is not set",
    condition.KIND: "nobody has used it yet, so nobody waits",
    barrier.KIND: "nobody has used it yet, so it has no parties",
}


def record_json(record: Record) -> dict[str, Any]:
    """One record."""
    return {
        "apiVersion": wire.API_VERSION,
        "kind": _KINDS[record.kind],
        "metadata": {"name": record.name, "resourceVersion": str(record.version)},
        "spec": _SPECS[record.kind](record),
    }


def list_json(plural: str, records: Iterable[Record]) -> dict[str, Any]:
    """All records of a kind: of each its name and how it stands. Who is in it is shown for one record only."""
    return {plural: [{"name": record.name, **_entry(_SPECS[record.kind](record))} for record in records]}


def _entry(spec: dict[str, Any]) -> dict[str, Any]:
    return {_ENTRY_NAMES.get(name, name): value for name, value in spec.items() if not isinstance(value, list)}


def unused_body(kind: str, name: str) -> bytes:
    """The body of a 404. It is an answer, not a refusal: there is no record."""
    return problem_json(HTTPStatus.NOT_FOUND, f"{kind}_unused", f"{kind} {name!r}: {_UNUSED[kind]}", None)


def _semaphore(record: Record) -> dict[str, Any]:
    shown = semaphore.Semaphore.from_spec(record.spec)
    permits = [
        _who(permit.claimant)
        | {"since": permit.acquired_at, "token": str(record.version if permit.token is None else permit.token)}
        for permit in shown.permits
    ]
    return {
        "limit": shown.terms.limit,
        "bounded": shown.terms.bounded,
        "value": shown.value,
        "held": len(permits),
        "waiters": len(shown.queue),
        "permits": permits,
        "queue": [_who(ticket) for ticket in shown.queue],
    }


def _event(record: Record) -> dict[str, Any]:
    shown = event.Event.from_spec(record.spec)
    return {"isSet": shown.is_set, "generation": shown.generation, "changedAt": shown.changed_at}


def _condition(record: Record) -> dict[str, Any]:
    shown = condition.Condition.from_spec(record.spec)
    return {
        "waiters": shown.waiters,
        "notified": len(shown.tickets) - shown.waiters,
        "tickets": [_who(ticket.claimant) | {"notified": ticket.notified} for ticket in shown.tickets],
    }


def _barrier(record: Record) -> dict[str, Any]:
    shown = barrier.Barrier.from_spec(record.spec)
    return {
        "parties": shown.parties,
        "waiting": shown.waiting,
        "state": shown.state.value,
        "generation": shown.generation,
        "arrived": [_who(party.claimant) for party in shown.arrived],
    }


def _who(claimant: Claimant) -> dict[str, Any]:
    return {
        "holder": wire.short_id(claimant.hold.holder),
        "owner": claimant.owner,
        "process": claimant.process,
    }


_SPECS: Final[dict[str, Callable[[Record], dict[str, Any]]]] = {
    semaphore.KIND: _semaphore,
    event.KIND: _event,
    condition.KIND: _condition,
    barrier.KIND: _barrier,
}
