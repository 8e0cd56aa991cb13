"""The kinds of records that several electors write to, and how each is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from elector_server.rules import barrier, condition, event, semaphore
from elector_server.rules.shared import Shared

READERS: Final[dict[str, Callable[[Any], Shared]]] = {
    semaphore.KIND: semaphore.Semaphore.from_spec,
    event.KIND: event.Event.from_spec,
    condition.KIND: condition.Condition.from_spec,
    barrier.KIND: barrier.Barrier.from_spec,
}
