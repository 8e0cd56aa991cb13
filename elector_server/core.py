"""What the parts of one elector share. `elector.Elector` is it; the parts see only this much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import random

    from elector_server.answered import Answered
    from elector_server.background import Background
    from elector_server.clients import Client
    from elector_server.clock import Clock
    from elector_server.dead_holders import DeadHolders
    from elector_server.durations import Durations
    from elector_server.foreign_sessions import ForeignSessions
    from elector_server.named_lock import NamedLock
    from elector_server.named_record import NamedRecord
    from elector_server.own_session import Identity, OwnSession
    from elector_server.rules.claimant import Claimant
    from elector_server.seen_versions import SeenVersions
    from elector_server.store import Store
    from elector_server.trouble import Cause
    from elector_server.users import Users
    from elector_server.waiters import LocalHold


class Core(Protocol):
    """The surroundings of a part inside its elector."""

    store: Store
    identity: Identity
    clock: Clock
    random: random.Random
    background: Background
    foreign: ForeignSessions
    durations: Durations
    dead: DeadHolders
    answered: Answered
    versions: SeenVersions
    names: dict[str, NamedLock]
    records: dict[tuple[str, str], NamedRecord[Any]]
    users: Users

    @property
    def session(self) -> OwnSession | None:
        """The session that everything here hangs on, if there is one now."""

    @property
    def not_ready(self) -> Cause | None:
        """Why nothing can be granted now; None if it can."""

    def named(self, name: str) -> NamedLock:
        """The lock of that name, made if it is not there."""

    def recorded(self, kind: str, name: str) -> NamedRecord[Any]:
        """The semaphore, event, condition or barrier of that name, made if it is not there."""

    def bring_back(self, record: NamedRecord[Any]) -> None:
        """Take over what stands in it for clients that came back after a restart, and do not ask for it."""

    def drop_record(self, record: NamedRecord[Any]) -> None:
        """Nobody here needs this record any more."""

    def count(self, what: str, times: int = 1) -> None:
        """Count events for the metrics."""

    def note_grant(self, hold: LocalHold) -> None:
        """A client got a hold."""

    def tell_loss(self, hold: LocalHold, reason: str) -> None:
        """A client must stop believing in a hold."""

    def give_up(self, name: str, client: Client, holder: str) -> None:
        """A holder id is over, whatever it was doing: waiting or holding."""

    def glance(self, claimant: Claimant) -> None:
        """Somebody was refused because of this holder: see whether its session is still alive."""

    def drop_name(self, lock: NamedLock) -> None:
        """Nobody here needs this lock any more."""
