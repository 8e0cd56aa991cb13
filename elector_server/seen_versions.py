"""The newest version that this elector has seen: a store whose next write is not above it has gone back in time.

Tokens are versions. A store that was restored from a backup would hand out old ones again, so an elector that meets
such a store stops granting, and says so.
"""

from __future__ import annotations


class StoreWentBack(Exception):
    """A write was given a version that is not above what was seen before it was sent."""

    code = "store_went_back"


class SeenVersions:
    """What one elector process has seen of its store's versions."""

    def __init__(self) -> None:
        self.newest = 0

    def see(self, version: int) -> None:
        """Take in a version that a read, a watch or a write has shown."""
        self.newest = max(self.newest, version)

    def check(self, version: int, newest_before: int) -> None:
        """Take in the version of a write that was sent when `newest_before` was the newest one.

        Raises:
            StoreWentBack: it is not above it.
        """
        if version <= newest_before:
            raise StoreWentBack(
                f"the store gave version {version} to a write, after version {newest_before}: it was restored from a"
                " backup, or replaced. Locks could be granted with old tokens, so this elector grants none; stop every"
                " elector of this store, and start them again when no holder of before is left"
            )
        self.see(version)
