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
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from elector_server.clock import Clock

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


class Silence:
    """Since when the store has not answered what was asked: who waited for that shall not hear "somebody has it"."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._refusal: str | None = None

    def asked(self) -> None:
        """Something was asked, for the first time or again."""
        if self._asked_at is None:
            self._asked_at = self._clock.now()

    def refused(self, error: Exception) -> None:
        """The store said that it can not be done now, or nothing can be known of it."""
        self._refusal = str(error)

    def answered(self) -> None:
        """The store said how things stand."""
        self._asked_at = self._refusal = None

    def reason(self, patience_seconds: float) -> str | None:
        """Why nothing is known; None if the store has answered, or was asked less than `patience_seconds` ago."""
        if self._refusal is None and self._asked_at is not None:
            seconds = self._clock.now() - self._asked_at
            return f"no answer for {seconds:.1f} s" if seconds > patience_seconds else None
        return self._refusal
