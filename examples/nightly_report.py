"""A cron job that runs once, though every machine's cron starts it.

    python examples/nightly_report.py reports/

Start it twice at the same moment: one process makes the report, the other says that it need not. That alone is not
enough for "once": whoever comes late finds nobody at work. So the one at work looks first for what was made.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from metaparticle_sync import leader_only


@leader_only("nightly-report", mode="skip", otherwise="another process is making tonight's report")
def make(report: Path) -> str:
    """Make the report, unless it is there. One process at a time is in here; the others do not wait for it."""
    if report.exists():
        return f"tonight's report is there already: {report}"
    print("making tonight's report ...")
    time.sleep(3)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("all is well\n")
    return f"made {report}"


def main(folder: Path) -> None:
    print(make(folder / f"report-{datetime.now(UTC).date()}.txt"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
