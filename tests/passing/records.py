"""What an elector has of unnamed primitives."""

from __future__ import annotations

from tests.passing.kinds import COLLECTIONS
from tests.processes.electors import ElectorProcess
from tests.processes.running import GENEROUS, wait_until

GONE_SECONDS = 3.0
"""How long after its last user the record of an unnamed primitive may be there."""


def records(elector: ElectorProcess) -> dict[str, list[str]]:
    """The names of each kind that has a record."""
    found = {}
    for collection in COLLECTIONS:
        status, body = elector.get(f"/{collection}")
        assert status == 200, body
        found[collection] = [entry["name"] for entry in body[collection]]
    return {collection: names for collection, names in found.items() if names}


def wait_until_gone(elector: ElectorProcess) -> None:
    """Wait until there is no record."""
    wait_until(lambda: not records(elector), "all records are gone", GONE_SECONDS * GENEROUS)
