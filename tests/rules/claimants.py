"""Claimants and moments for tables of rules."""

from __future__ import annotations

from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.shared import At


def claimant(holder: str, session: str = "s0", epoch: int = 1) -> Claimant:
    """One acquisition of a holder of that name."""
    return Claimant(Hold(holder, session, epoch), f"client of {holder}", f"pod of {session}", "p", 20.0)


def at(version: int = 7, *, session: str = "s0", ended: str = "") -> At:
    """A decision of the elector with that session over that version; `ended` names the sessions that have ended."""
    return At(version, "T", session, lambda other: other in ended.split())
