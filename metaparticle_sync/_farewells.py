"""Holds and places in queues that nobody here wants any more, and of which the elector does not know so yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from metaparticle_sync._answers import Refused
from metaparticle_sync.errors import ElectorUnavailable

if TYPE_CHECKING:
    from metaparticle_sync._sidecar import Sidecar


class Farewell(NamedTuple):
    """One thing to give up."""

    path: str
    client: str
    holder: str


class Farewells:
    """What is left to say."""

    def __init__(self) -> None:
        self._left: dict[str, Farewell] = {}

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, path: str, client: str, holder: str) -> None:
        """This is to be given up."""
        self._left[holder] = Farewell(path, client, holder)

    def say_next(self, sidecar: Sidecar, timeout: float) -> None:
        """Say one of them.

        Raises:
            ElectorUnavailable: it has to be said again.
        """
        farewell = next(iter(list(self._left.values())), None)
        if farewell is None:
            return
        try:
            sidecar.release(farewell.path, farewell.client, farewell.holder, timeout)
        except Refused:
            pass  # It was not ours any more.
        except ElectorUnavailable:
            self._left[farewell.holder] = self._left.pop(farewell.holder)  # Next time, another one first.
            raise
        del self._left[farewell.holder]
