"""CPython's own LockTests, unchanged, bound to our Lock. Run by each Python in a process of its own.

Prints one line of JSON: what passed, what was skipped and why, what failed.
"""

from __future__ import annotations

import json
import sys
import unittest

from test import lock_tests

from metaparticle_sync import Lock


class LockTests(lock_tests.LockTests):
    """Nothing is edited, excluded or loosened."""

    locktype = staticmethod(Lock)


def main() -> int:
    # The suite fails a test in which a thread is started that goes on. Ours is started once for the process, here.
    with Lock():
        pass
    result = unittest.TestResult()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(LockTests)
    names = sorted(test.id().rpartition(".")[2] for test in suite)
    suite.run(result)
    skipped = {test.id().rpartition(".")[2]: reason for test, reason in result.skipped}
    failed = {test.id().rpartition(".")[2]: text for test, text in [*result.failures, *result.errors]}
    passed = [name for name in names if name not in skipped and name not in failed]
    print(json.dumps({"passed": passed, "skipped": skipped, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
