"""One look at a primitive: a single question that changes nothing and waits for nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from metaparticle_sync._answers import Refused
from metaparticle_sync._waiting import Patience
from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable

if TYPE_CHECKING:
    from metaparticle_sync._keeper import Keeper

Meaning = TypeVar("Meaning")

_LOOK_SECONDS: Final = 0.9


def look(keeper: Keeper, unavailable_seconds: float, read: Callable[[float], Meaning]) -> Meaning:
    """What `read(timeout)` says.

    Raises:
        ElectorUnavailable: that can not be known.
        ElectorRefused: the elector will never say it.
    """
    try:
        return read(_LOOK_SECONDS)
    except ElectorUnavailable as error:
        Patience(0.0, unavailable_seconds, keeper.heard_at).failed(error)  # A single try: it raises, and says more.
        raise
    except Refused as refusal:
        raise ElectorRefused(str(refusal), code=refusal.code, status=refusal.status) from None
