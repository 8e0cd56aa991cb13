"""Holds and places in queues that nobody here wants any more, and of which the elector does not know so yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from metaparticle_sync._answers import Refused
from metaparticle_sync.errors import ElectorUnavailable

if TYPE_CHECKING:
    from metaparticle_sync._sidecar import Sidecar


class Sayable(Protocol):
    """Something that the elector still has to hear. It may be said again and again."""

    @property
    def key(self) -> str:
        """What is said under the same key is the same."""

    def say(self, sidecar: Sidecar, timeout: float) -> None:
        """Say it.

        Raises:
            ElectorUnavailable: it has to be said again.
            Refused: the elector knows better.
        """

    def refused(self) -> None:
        """The elector knew better, and there is nobody to be told."""


@contextmanager
def said_again_to_who_does_not_know_us(sidecar: Sidecar) -> Iterator[None]:
    """An elector that does not know us (any more) may yet come to know what we leave behind.

    Raises:
        ElectorUnavailable: it has to be said again.
    """
    try:
        yield
    except Refused as refusal:
        if refusal.code != "unknown_client":
            raise
        raise ElectorUnavailable(str(refusal), address=sidecar.address.url) from None


class Farewell(NamedTuple):
    """One hold or place in a queue to give up."""

    path: str
    client: str
    holder: str

    @property
    def key(self) -> str:
        """The holder id."""
        return self.holder

    def say(self, sidecar: Sidecar, timeout: float) -> None:
        """Release it."""
        with said_again_to_who_does_not_know_us(sidecar):
            sidecar.release(self.path, self.client, self.holder, timeout)

    def refused(self) -> None:
        """It was not ours any more."""


class Farewells:
    """What is left to say."""

    def __init__(self) -> None:
        self._left: dict[str, Sayable] = {}

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, farewell: Sayable) -> None:
        """This is to be said."""
        self._left[farewell.key] = farewell

    def say_next(self, sidecar: Sidecar, timeout: float) -> None:
        """Say one of them.

        Raises:
            ElectorUnavailable: it has to be said again.
        """
        farewell = next(iter(list(self._left.values())), None)
        if farewell is None:
            return
        try:
            farewell.say(sidecar, timeout)
        except Refused:
            farewell.refused()
        except ElectorUnavailable:
            self._left[farewell.key] = self._left.pop(farewell.key)  # Next time, another one first.
            raise
        del self._left[farewell.key]
