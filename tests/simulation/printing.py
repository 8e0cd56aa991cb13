"""A run in lines of text, for whoever wants to see how it came to a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.simulation.recorder import Commit
from tests.simulation.world import World


def print_run(world: World | None) -> None:
    """Everything that the recorder and the clients wrote down, in order of time."""
    if world is None:
        return
    lines = [(commit.at, describe_commit(commit)) for commit in world.shared.commits]
    for belief in [*world.history.beliefs, *world.history.permits]:
        who = f"{belief.client} {belief.name} {belief.holder[:6]} token {belief.token}"
        lines.append((belief.began, f"    BELIEVES {who}"))
        if belief.ended is not None:
            lines.append((belief.ended, f"    BELIEVED {who}: {belief.reason}"))
    for call in world.history.calls:
        ended = call.began + call.took_seconds
        lines.append((ended, f"        {call.client} {call.what}, asked at {call.began:.4f}: {call.outcome!r:.120}"))
    for shared in world.history.shared:
        what = f"    {shared.client} {shared.what} {shared.id[:6]} {shared.details}"
        lines.append((shared.began, f"{what} BEGINS"))
        if shared.ended is not None:
            lines.append((shared.ended, f"{what} ENDS: {shared.outcome!r:.120}"))
    lines += world.history.notes
    for at, line in sorted(lines):
        print(f"{at:10.4f} {line}")


def describe_commit(commit: Commit) -> str:
    """One commit in one line."""
    operation = commit.operation
    text = f"{commit.version} {operation.sender} {operation.verb} {operation.kind} {_short(operation.name)}"
    if commit.record is None:
        return text
    return f"{text}: {_DESCRIBE[operation.kind](commit.record.spec)}"


def _session(spec: Mapping[str, Any]) -> str:
    return f"{spec['state']} epoch {spec['epoch']} seq {spec['seq']}"


def _lock(spec: Mapping[str, Any]) -> str:
    return f"{_hold(spec)} token {spec.get('token')} {_holds(spec.get('queue', ()))}"


def _semaphore(spec: Mapping[str, Any]) -> str:
    permits = [f"{_hold(permit)} token {permit.get('token')}" for permit in spec["permits"]]
    return f"{spec['limit']} + {spec['extra']} {permits} queue {_holds(spec['queue'])} {_operations(spec)}"


def _event(spec: Mapping[str, Any]) -> str:
    return f"{'set' if spec['is_set'] else 'clear'} generation {spec['generation']} {_operations(spec)}"


def _condition(spec: Mapping[str, Any]) -> str:
    tickets = [_hold(ticket) + " notified" * ticket.get("notified", False) for ticket in spec["tickets"]]
    return f"{tickets} {_operations(spec)}"


def _barrier(spec: Mapping[str, Any]) -> str:
    state = f"{spec['state']} generation {spec['generation']} of {spec['parties']}"
    return f"{state} {_holds(spec['arrived'])} broken {_holds(spec['broken'])} {_operations(spec)}"


_DESCRIBE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "session": _session,
    "lock": _lock,
    "semaphore": _semaphore,
    "event": _event,
    "condition": _condition,
    "barrier": _barrier,
}


def _operations(spec: Mapping[str, Any]) -> str:
    return f"{spec['operation_count']} operations, last {[operation[:6] for operation in spec['operations'][-3:]]}"


def _holds(claimants: Any) -> list[str]:
    return [_hold(claimant) for claimant in claimants]


def _hold(spec: Mapping[str, Any]) -> str:
    return f"{spec['holder'][:6]}({_short(spec['session'])}.{spec['epoch']})"


def _short(session: str) -> str:
    return session[:-26] if len(session) > 30 else session
