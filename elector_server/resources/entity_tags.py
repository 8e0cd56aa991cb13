"""Conditional requests for a lock: its entity tag, `If-None-Match` (RFC 9110), and `Prefer: wait` (RFC 7240).

The tag stands for who holds a lock, and for nothing that changes while one holds: not for the time, not for the queue.
It is made of the record alone, so it means the same at every elector of a store and after each restart.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from metaparticle_sync import wire

if TYPE_CHECKING:
    from elector_server.views import LockView

FREE: Final = 'W/"free"'
_TAG: Final = re.compile(r'"[^"]*"')
_WAIT: Final = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=[;,]|$)', re.IGNORECASE)


def etag(view: LockView | None) -> str:
    """The entity tag of who holds; weak, because what is shown besides differs from look to look."""
    if view is None:
        return FREE
    claimant = view.lock.claimant
    shown = (claimant.hold.holder, claimant.owner, claimant.process, claimant.metadata, view.lock.acquired_at)
    digest = blake2b("\0".join((*shown, str(view.token))).encode(errors="surrogatepass"), digest_size=12)
    return f'W/"{digest.hexdigest()}"'


class Known:
    """What the caller knows already: the tags of its `If-None-Match`, or whatever there is (`*`)."""

    def __init__(self, header: str | None) -> None:
        text = (header or "").strip()
        self._anything = text == "*"
        self._tags = frozenset(_TAG.findall(text))

    def __bool__(self) -> bool:
        return self._anything or bool(self._tags)

    def is_of(self, tag: str) -> bool:
        """Whether the caller knows this one. A free lock is nothing, of which `*` does not speak."""
        return tag.removeprefix("W/") in self._tags or (self._anything and tag != FREE)


def wait_preference(header: str | None) -> float:
    """For how long the caller would like to wait for news; what can not be read is no preference."""
    match = _WAIT.search(header or "")
    return min(float(match[1]), wire.WAIT_SECONDS_MAX) if match else 0.0
