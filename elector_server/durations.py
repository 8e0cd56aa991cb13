"""Every duration of an elector, derived from two settings and checked in one place.

`lease_seconds` is D of the design: how long the elector's own session lives in the store without a renewal.
`client_ttl_seconds` is how long a client's session lives in the elector without a heartbeat.

Each derived duration says what it measures, and from which moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LEASE_SECONDS_DEFAULT: Final = 20.0
LEASE_SECONDS_MIN: Final = 4.0
LEASE_SECONDS_MAX: Final = 3600.0
LEGACY_LEASE_SECONDS_MIN: Final = 20.0

CLIENT_TTL_SECONDS_DEFAULT: Final = 30.0
CLIENT_TTL_SECONDS_MIN: Final = 2.0
CLIENT_TTL_SECONDS_MAX: Final = 3600.0


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """One rule that one setting breaks; `text` goes on after the setting's name."""

    setting: str
    text: str

    def __str__(self) -> str:
        return f"{self.setting} {self.text}"


class ImpossibleDuration(ValueError):
    """Durations that no elector can work with. `broken` has one entry for each rule that is broken."""

    def __init__(self, broken: tuple[BrokenRule, ...]) -> None:
        super().__init__("; ".join(str(rule) for rule in broken))
        self.broken = broken


@dataclass(frozen=True, slots=True)
class Durations:
    """The two settings of an elector, and what follows from them. Impossible ones can not be made."""

    lease_seconds: float = LEASE_SECONDS_DEFAULT
    client_ttl_seconds: float = CLIENT_TTL_SECONDS_DEFAULT

    def __post_init__(self) -> None:
        broken = broken_rules(self.lease_seconds, self.client_ttl_seconds)
        if broken:
            raise ImpossibleDuration(broken)

    @property
    def validity_seconds(self) -> float:
        """H: how long the elector trusts its session, from the send of the last renewal that committed."""
        return validity_seconds(self.lease_seconds)

    @property
    def renew_seconds(self) -> float:
        """From one renewal to the next."""
        return self.lease_seconds / 5

    @property
    def attempt_seconds(self) -> float:
        """How long one renewal may take, from its send. Below `renew_seconds`, so that no two overlap."""
        return 0.9 * self.lease_seconds / 5

    @property
    def poll_seconds(self) -> float:
        """From one look at what a waiter waits for to the next, should its watch stay silent."""
        return self.lease_seconds / 5

    @property
    def tick_seconds(self) -> float:
        """From one tick on a client's stream to the next; each tick makes the client send a heartbeat."""
        return min(self.validity_seconds / 3, self.client_ttl_seconds / 4)

    @property
    def client_belief_seconds(self) -> float:
        """How long a client may believe in its holds, from the elector's receipt of its last heartbeat.

        Shorter than the TTL, after which the elector gives them away: the difference is for clocks that run apart.
        """
        return self.client_ttl_seconds - self.client_ttl_seconds / 10

    @property
    def adoption_grace_seconds(self) -> float:
        """From the adoption of a session: how long a client of the process before may still present its holds."""
        return max(self.validity_seconds, self.client_ttl_seconds)

    @property
    def legacy_allowed(self) -> bool:
        """Whether the lease is long enough for the original protocol, whose clients come every 10 s."""
        return self.lease_seconds >= LEGACY_LEASE_SECONDS_MIN


def validity_seconds(lease_seconds: float) -> float:
    """How long the owner of a session of this lease trusts it, from the send of the renewal that committed."""
    return lease_seconds - max(2.0, lease_seconds / 6)


def broken_rules(lease_seconds: float, client_ttl_seconds: float) -> tuple[BrokenRule, ...]:
    """Each rule that these settings break; empty if they are fine."""
    return (
        *_broken_bounds("lease_seconds", lease_seconds, LEASE_SECONDS_MIN, LEASE_SECONDS_MAX),
        *_broken_bounds("client_ttl_seconds", client_ttl_seconds, CLIENT_TTL_SECONDS_MIN, CLIENT_TTL_SECONDS_MAX),
    )


def _broken_bounds(setting: str, value: float, least: float, most: float) -> Iterator[BrokenRule]:
    if not math.isfinite(value):
        yield BrokenRule(setting, f"is {value}: it must be a finite number of seconds")
    elif value < least:
        yield BrokenRule(setting, f"is {value:g}: it must be at least {least:g} seconds")
    elif value > most:
        yield BrokenRule(setting, f"is {value:g}: it must be at most {most:g} seconds")
