"""All directed schedules in one place: importing their modules registers them."""

from __future__ import annotations

from tests.simulation import (
    schedules_barriers,
    schedules_clients,
    schedules_locks,
    schedules_onlookers,
    schedules_reads,
    schedules_semaphores,
    schedules_sessions,
    schedules_time,
    schedules_waits,
)
from tests.simulation.schedules import SCHEDULES, run_schedule

MODULES = (
    schedules_barriers,
    schedules_clients,
    schedules_locks,
    schedules_onlookers,
    schedules_reads,
    schedules_semaphores,
    schedules_sessions,
    schedules_time,
    schedules_waits,
)

__all__ = ["MODULES", "SCHEDULES", "run_schedule"]
