"""Why the elector can not grant, or soon can not: told in the log once for each cause, and at `/readyz` with its code.

code                                 cause
elector_starting                     no session is open yet
elector_stopping                     the elector was told to stop
store_went_back                      the store shows less than was seen before: see `seen_versions`
session_refused                      the session's record was changed by somebody else while it was being opened
store_unavailable                    the store can not be reached, or refuses; each store may say more precisely why
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

log = logging.getLogger("elector")


class Cause(NamedTuple):
    """One cause: `code` for programs, `reason` for people."""

    code: str
    reason: str

    @classmethod
    def of(cls, error: Exception) -> Cause:
        """The cause that an error tells."""
        return cls(getattr(error, "code", "session_refused"), str(error) or type(error).__name__)


STARTING: Final = Cause("elector_starting", "its session is not open yet")
STOPPING: Final = Cause("elector_stopping", "the elector is stopping")


class Trouble:
    """What stands between a session and its next write, from the first failure to the next success."""

    def __init__(self) -> None:
        self.cause: Cause | None = None

    def note(self, error: Exception, consequence: str) -> None:
        """Tell it, unless it is the same as before: whoever runs the elector shall not have to ask it."""
        cause = Cause.of(error)
        if cause != self.cause:
            log.warning("%s (%s): %s", consequence, cause.code, cause.reason)
        self.cause = cause

    def over(self, relief: str) -> None:
        """Tell that it has ended, if there was any."""
        if self.cause is not None:
            log.info("%s", relief)
        self.cause = None
