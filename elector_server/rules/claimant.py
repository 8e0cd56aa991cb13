"""Who wants something or has it: one acquisition as it stands in a record.

A hold is the triple (holder, session, epoch): the random id that a client made for this one acquisition, the session of
its elector, and how often that session had changed hands. Whoever grants, releases or removes compares all three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SessionEnded = Callable[[str], bool]
"""Whether a session is known to have ended."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The identity of one hold."""

    holder: str
    session: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Claimant:
    """One acquisition as it stands in a record: as the holder of something, or as a ticket in a queue."""

    hold: Hold
    client: str
    owner: str
    process: str
    lease_seconds: float
    legacy: bool = False
    metadata: str = ""
    """What a leader says about itself: a JSON object as compact text. Only locks have it."""


def claimant_to_spec(claimant: Claimant) -> dict[str, Any]:
    """The stored form."""
    hold = claimant.hold
    spec: dict[str, Any] = {
        "holder": hold.holder,
        "session": hold.session,
        "epoch": hold.epoch,
        "client": claimant.client,
        "owner": claimant.owner,
        "process": claimant.process,
        "lease_seconds": claimant.lease_seconds,
    }
    if claimant.legacy:
        spec["legacy"] = True
    if claimant.metadata:
        spec["metadata"] = claimant.metadata
    return spec


def claimant_from_spec(spec: Mapping[str, Any]) -> Claimant:
    """Read the stored form."""
    return Claimant(
        hold=Hold(spec["holder"], spec["session"], spec["epoch"]),
        client=spec.get("client", ""),
        owner=spec.get("owner", ""),
        process=spec.get("process", ""),
        lease_seconds=spec["lease_seconds"],
        legacy=spec.get("legacy", False),
        metadata=spec.get("metadata", ""),
    )
