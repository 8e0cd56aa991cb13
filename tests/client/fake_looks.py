"""How the fake elector shows a lock: conditionally, and to those who wait for news."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from metaparticle_sync import wire

if TYPE_CHECKING:
    from tests.client.fake_elector import Handler

Held = tuple[str, str, int]


def look(handler: Handler, name: str) -> None:
    """Answer a GET, perhaps after a while. The caller has the elector's mutex."""
    fake = handler.server.fake
    lock = _changed_lock(handler, name)
    tags = [("ETag", _tag(lock))] if fake.sends_tags else []
    if handler.server.is_dead:
        return
    if _tag(lock) == handler.headers.get("If-None-Match"):
        handler.answer(304, headers=tags)
    elif lock is None:
        body = {"type": "about:blank", "title": "free", "status": 404, "code": "lock_free", "detail": "it is free"}
        handler.answer(404, body, wire.PROBLEM_TYPE, tags)
    else:
        spec = {"owner": "pod-7", "process": "host:17 worker.py", "acquiredAt": "2026-01-01T00:00:00Z"}
        metadata = fake.metadata.get(lock[2])
        more = {"metadata": metadata} if metadata else {}
        record = {"kind": "Lock", "metadata": {"name": name}, "spec": spec | {"token": str(lock[2])} | more}
        handler.answer(200, record, headers=tags)


def _changed_lock(handler: Handler, name: str) -> Held | None:
    """The lock as soon as it is another one than the caller knows, or at the end of its time."""
    fake = handler.server.fake
    until = time.monotonic() + float(handler.headers.get("Prefer", "wait=0").removeprefix("wait="))
    while _tag(fake.locks.get(name)) == handler.headers.get("If-None-Match") and not handler.server.is_dead:
        left = until - time.monotonic()
        if left <= 0:
            break
        fake.changed.wait(left)
    return fake.locks.get(name)


def _tag(lock: Held | None) -> str:
    return 'W/"free"' if lock is None else f'W/"{lock[2]}"'
