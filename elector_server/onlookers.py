"""Those who look at a lock and wait until there is news: they take no part, and change nothing.

All who look at one name share one watch of its record, open only while somebody looks. As everywhere, a watch is a
wake-up and a poll finds what it missed. Each look begins with a read of its own, so nobody depends on what happened
between two looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from elector_server.looks import Looks
from elector_server.parking import Departed
from elector_server.problems import StoreDown
from elector_server.rules.lock import KIND
from elector_server.store import Record, StoreUnavailable, WatchExpired
from elector_server.writes import Backoff, attempt

if TYPE_CHECKING:
    from elector_server.core import Core
    from elector_server.parking import Departure

IsNews = Callable[[Record | None], bool]

SILENT_POLLS: Final = 3
"""After so many polls without an answer of the store, nobody can say that there is no news."""


class Sight(NamedTuple):
    """A record, or that there is none, as of a version."""

    version: int
    record: Record | None


class Onlookers:
    """Everybody who waits for news of some lock."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._scenes: dict[str, Scene] = {}
        self._end: Exception | None = None

    async def look(self, name: str, is_news: IsNews, seconds: float, departure: Departure) -> Record | None:
        """The record as soon as it is news, else as it is after `seconds` or when the caller leaves.

        Raises:
            StoreDown: the store does not answer.
            ElectorStopping: `end` was called with it.
        """
        sight = await self._read(name)
        if self._end is not None:
            raise self._end
        if is_news(sight.record):
            return sight.record
        scene = self._scenes.get(name)
        if scene is None:
            scene = self._scenes[name] = Scene(self._core, name, sight)
        scene.see(sight)
        try:
            return await scene.wait(is_news, seconds, departure)
        finally:
            if scene.close_if_deserted():
                self._scenes.pop(name, None)

    def end(self, error: Exception) -> None:
        """End every wait, and each that begins from now on."""
        self._end = error
        for scene in self._scenes.values():
            scene.fail(error)

    async def _read(self, name: str) -> Sight:
        try:
            return await read(self._core, name)
        except StoreUnavailable as error:
            raise StoreDown(str(error)) from error


class Scene:
    """One name that somebody looks at."""

    def __init__(self, core: Core, name: str, sight: Sight) -> None:
        self._core = core
        self._name = name
        self._sight = sight
        self._heard_at = core.clock.now()
        self._looks: Looks[Sight] = Looks(core.clock, core.background, lambda: self._sight)
        self._watching = core.background.start(self._attend())

    async def wait(self, is_news: IsNews, seconds: float, departure: Departure) -> Record | None:
        """Wait for news, until the time is over or the caller is gone.

        Raises:
            StoreDown: the time is over, and the store was silent for too long to know.
        """
        try:
            news = await self._looks.until(lambda sight: sight if is_news(sight.record) else None, seconds, departure)
            return news.record
        except (TimeoutError, Departed):
            pass
        silent_seconds = self._core.clock.now() - self._heard_at
        if silent_seconds > SILENT_POLLS * self._core.durations.poll_seconds:
            raise StoreDown(f"it has not answered for {silent_seconds:.1f} s")
        return self._sight.record

    def see(self, sight: Sight) -> None:
        """Take in a read or a change, unless something newer is known, and wake those for whom it is news."""
        self._heard_at = self._core.clock.now()
        if sight.version > self._sight.version:
            self._sight = sight
            self._looks.show()

    def fail(self, error: Exception) -> None:
        """End every wait here."""
        self._looks.fail(error)

    def close_if_deserted(self) -> bool:
        """Stop watching if nobody looks any more."""
        if self._looks:
            return False
        self._watching.cancel()
        return True

    async def _attend(self) -> None:
        core = self._core
        backoff = Backoff(core.clock, core.random)
        while True:
            begun_at = core.clock.now()
            try:
                await self._follow(self._sight.version)
            except (WatchExpired, StoreUnavailable):
                if core.clock.now() - begun_at > core.durations.poll_seconds:
                    backoff = Backoff(core.clock, core.random)
                await backoff.pause()
                await self._poll()

    async def _follow(self, since: int) -> None:
        core = self._core
        async with core.store.watch(KIND, since, name=self._name) as watch:
            while True:
                try:
                    async with core.clock.timeout(core.durations.poll_seconds * core.random.uniform(0.8, 1.0)):
                        change = await watch.next()
                except TimeoutError:
                    await self._poll()
                else:
                    self.see(Sight(change.version, change.record))

    async def _poll(self) -> None:
        try:
            self.see(await read(self._core, self._name))
        except StoreUnavailable:
            pass  # The next poll may find it again.


async def read(core: Core, name: str) -> Sight:
    """One record with the version that the read is at least as new as: so a missing one is comparable, too.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    listing = await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.list(KIND, name=name))
    return Sight(listing.version, listing.records[0] if listing.records else None)
