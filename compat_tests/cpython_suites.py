"""CPython's own lock suites, unchanged, bound to our classes. Run by each Python in a process of its own.

    python -m compat_tests.cpython_suites [CLASS ...]

Prints one line of JSON: for each class what passed, what was skipped and why, what failed.
"""

from __future__ import annotations

import json
import sys
import threading
import unittest

SUITE_NAMES = (
    "LockTests",
    "RLockTests",
    "EventTests",
    "ConditionAsRLockTests",
    "ConditionTests",
    "SemaphoreTests",
    "BoundedSemaphoreTests",
    "BarrierTests",
)


def suites() -> dict[str, type[unittest.TestCase]]:
    """Each class of CPython's tests, bound to one of ours. Nothing is edited, excluded or loosened.

    `ConditionAsRLockTests` is what `test_threading` calls `RLockTests`, bound to a condition.
    """
    from test import lock_tests  # noqa: PLC0415 -- not every Python has it, and the names are wanted without

    import metaparticle_sync  # noqa: PLC0415 -- as above

    bound = {
        "LockTests": (lock_tests.LockTests, "locktype", metaparticle_sync.Lock),
        "RLockTests": (lock_tests.RLockTests, "locktype", metaparticle_sync.RLock),
        "EventTests": (lock_tests.EventTests, "eventtype", metaparticle_sync.Event),
        "ConditionAsRLockTests": (lock_tests.RLockTests, "locktype", metaparticle_sync.Condition),
        "ConditionTests": (lock_tests.ConditionTests, "condtype", metaparticle_sync.Condition),
        "SemaphoreTests": (lock_tests.SemaphoreTests, "semtype", metaparticle_sync.Semaphore),
        "BoundedSemaphoreTests": (lock_tests.BoundedSemaphoreTests, "semtype", metaparticle_sync.BoundedSemaphore),
        "BarrierTests": (lock_tests.BarrierTests, "barriertype", metaparticle_sync.Barrier),
    }
    return {
        name: type(name, (suite,), {attribute: staticmethod(ours)}) for name, (suite, attribute, ours) in bound.items()
    }


def main(names: list[str]) -> int:
    # The suite fails a test in which a thread is started that goes on. Ours is started once for the process, here.
    from metaparticle_sync import Lock  # noqa: PLC0415 -- see `suites`

    with Lock():
        pass
    bound = suites()
    results = {name: _run(bound[name]) for name in names or SUITE_NAMES}
    print(json.dumps(results))
    return 1 if any(result["failed"] for result in results.values()) else 0


def _run(case: type[unittest.TestCase]) -> dict[str, object]:
    result = unittest.TestResult()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    names = sorted(test.id().rpartition(".")[2] for test in suite)
    before = threading.active_count()
    suite.run(result)
    skipped = {_name(test): reason for test, reason in result.skipped}
    failed = {_name(test): text for test, text in [*result.failures, *result.errors]}
    if threading.active_count() > before:
        failed["(threads)"] = f"{threading.active_count() - before} threads are left"
    passed = [name for name in names if name not in skipped and name not in failed]
    return {"passed": passed, "skipped": skipped, "failed": failed}


def _name(test: unittest.TestCase) -> str:
    return test.id().rpartition(".")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
