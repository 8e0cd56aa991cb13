"""`acquire` takes and refuses its arguments as `threading.Lock` does, which is the oracle here."""

from __future__ import annotations

import math
import threading
import time
from decimal import Decimal

import pytest

from metaparticle_sync import Lock
from metaparticle_sync._waiting import seconds_to_wait

REFUSED = [
    (False, 1),
    (False, 0),
    (False, 0.5),
    (0, 3),
    (True, -2),
    (True, -0.5),
    (True, -1e-9),
    (True, math.nan),
    (True, math.inf),
    (True, -math.inf),
    (True, 1e100),
    (True, -1e100),
    (False, 1e100),
    (True, 10**400),
    (True, threading.TIMEOUT_MAX + 1),
    (True, "1"),
    (True, [1]),
    (True, Decimal(1)),
    (True, 1j),
]


@pytest.mark.parametrize(("blocking", "timeout"), REFUSED)
def test_refused_as_threading_refuses(blocking, timeout):
    with pytest.raises((ValueError, OverflowError, TypeError)) as theirs:
        threading.Lock().acquire(blocking, timeout)
    with pytest.raises(type(theirs.value)):
        seconds_to_wait(blocking, timeout)


@pytest.mark.parametrize(
    ("blocking", "timeout", "error", "message"),
    [
        (False, 1, ValueError, "can't specify a timeout for a non-blocking call"),
        (True, -2, ValueError, "timeout value must be a non-negative number"),
        (True, math.nan, ValueError, "Invalid value NaN (not a number)"),
        (True, threading.TIMEOUT_MAX + 1, OverflowError, "timeout value is too large"),
        (True, "1", TypeError, "'str' object cannot be interpreted as an integer"),
    ],
)
def test_messages(blocking, timeout, error, message):
    with pytest.raises(error) as caught:
        seconds_to_wait(blocking, timeout)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("blocking", "timeout", "seconds"),
    [
        (True, -1, None),
        (True, -1.0, None),
        (True, None, None),
        (1, -1, None),
        (False, -1, 0.0),
        (False, None, 0.0),
        (0, -1.0, 0.0),
        (True, 0, 0.0),
        (True, 2, 2.0),
        (True, 0.25, 0.25),
        (True, True, 1.0),
        (True, threading.TIMEOUT_MAX, threading.TIMEOUT_MAX),
    ],
)
def test_accepted(blocking, timeout, seconds):
    assert seconds_to_wait(blocking, timeout) == seconds


def test_arguments_are_checked_before_anything_is_sent(elector):
    lock = Lock("x")
    for blocking, timeout in REFUSED:
        with pytest.raises((ValueError, OverflowError, TypeError)):
            lock.acquire(blocking, timeout)
    assert elector.requests == []


def test_block_is_the_spelling_of_multiprocessing(elector):
    lock = Lock("x")
    assert lock.acquire(block=False)
    assert not lock.acquire(block=False)
    with pytest.raises(ValueError, match="non-blocking"):
        lock.acquire(block=False, timeout=1)
    assert not lock.acquire(block=True, timeout=0.01)


@pytest.mark.parametrize("timeout", [0.0, 0.05, 0.3])
def test_timeout_is_never_cut_short(elector, timeout):
    elector.take("x")
    lock = Lock("x")
    lock.locked()
    before = time.monotonic()
    assert lock.acquire(timeout=timeout) is False
    assert timeout <= time.monotonic() - before <= timeout + 1
