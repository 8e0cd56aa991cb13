"""What an elector says of a store that fails: once for each cause, and when it is over."""

from __future__ import annotations

import logging

import pytest

from elector_server.store import StoreUnavailable
from elector_server.trouble import Cause, Trouble


def test_one_line_for_each_cause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "elector")
    trouble = Trouble()
    for _ in range(3):
        trouble.note(StoreUnavailable("no answer", "api_silent"), "not ready yet")
    trouble.note(StoreUnavailable("no right", "store_forbidden"), "not ready yet")
    assert caplog.messages == ["not ready yet (api_silent): no answer", "not ready yet (store_forbidden): no right"]
    assert trouble.cause == Cause("store_forbidden", "no right")


def test_its_end_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "elector")
    trouble = Trouble()
    trouble.over("ready")
    assert caplog.messages == []
    trouble.note(StoreUnavailable("no answer"), "not ready yet")
    trouble.over("ready")
    trouble.over("ready")
    assert caplog.messages == ["not ready yet (store_unavailable): no answer", "ready"]
    assert trouble.cause is None
