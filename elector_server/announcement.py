"""What the elector says of itself when it starts: where it is, and what its settings mean for the locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from elector_server.durations import LEGACY_LEASE_SECONDS_MIN
from elector_server.sockets import is_private, url
from metaparticle_sync import wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elector_server.config import Settings

SQLITE_FILE: Final = "store.sqlite3"


def store_text(settings: Settings) -> str:
    """Where the locks are kept, for people."""
    return f"sqlite {settings.state_dir / SQLITE_FILE}" if settings.store == "sqlite" else settings.store


def announcement(settings: Settings, ports: Sequence[int]) -> Iterator[str]:
    """One line for each thing that a user should know. `ports`: of the locks and, if it is on, of health."""
    health = f", health on {url(settings.health_host, ports[1])}" if len(ports) > 1 else ""
    yield f"elector {wire.VERSION} serves {url(settings.host, ports[0])}{health}, store {store_text(settings)}"
    if settings.store == "memory":
        yield "the store is memory: every lock is free again when this elector's process ends"
    elif settings.store == "sqlite" and settings.state_dir_is_default:
        yield "this store is this user's: an elector that another user starts has another one, and excludes nobody here"
    if not settings.durations.legacy_allowed:
        yield (
            f"requests without a body (the original protocol) are refused: the lease is"
            f" {settings.durations.lease_seconds:g} s, they need {LEGACY_LEASE_SECONDS_MIN:g} s"
        )
    if not is_private(settings.host):
        yield f"{settings.host} may be reached from other machines: whoever can connect can take and release locks"
