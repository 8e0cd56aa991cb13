"""Every directed schedule, with several seeds for the order of whoever is ready at the same moment."""

from __future__ import annotations

import pytest

from tests.simulation.directed import SCHEDULES, run_schedule

ORDERS = 5


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedule(name: str) -> None:
    for seed in range(ORDERS):
        run_schedule(name, seed)
