"""A cron job that runs once, though every machine's cron starts it.

    python examples/nightly_report.py reports/

Start it twice at the same moment: one process makes the report, the other says that it need not. The lock alone is not
enough for "once": whoever comes late finds it free again. So the holder looks, under the lock, for what was made.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from metaparticle_sync import Lock


def main(folder: Path) -> None:
    report = folder / f"report-{datetime.now(UTC).date()}.txt"
    lock = Lock("nightly-report")
    if not lock.acquire(blocking=False):
        print("another process is making tonight's report")
        return
    try:
        make(report)
    finally:
        lock.release()


def make(report: Path) -> None:
    """Make the report, unless it is there. The caller holds the lock."""
    if report.exists():
        print(f"tonight's report is there already: {report}")
        return
    print("making tonight's report ...")
    time.sleep(3)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("all is well\n")
    print(f"made {report}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
