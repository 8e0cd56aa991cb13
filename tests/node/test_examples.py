"""examples/kubernetes as they stand, with nothing changed but where the image is found."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

from tests.node.namespaces import Namespace
from tests.node.pods import Line, Pod, wait_until
from tests.processes.running import GENEROUS

MakeNamespace = Callable[..., Namespace]
Figures = dict[str, Any]


TURN_SECONDS = 2.0
"""For how long a worker of the example keeps the lock."""

READ_SECONDS = 0.5
"""The times of lines are those at which the runtime read them. The test that looks closer is in test_takeover.py."""


def token_in(line: str) -> int:
    found = re.search(r"with token (\d+)", line)
    assert found is not None, line
    return int(found[1])


def lines_with(pods: list[Pod], container: str, words: str) -> list[Line]:
    """The lines of several pods that have these words, in the order of time."""
    return sorted(line for pod in pods for line in pod.lines(container) if words in line.text)


def test_one_replica_leads_and_the_next_when_its_pod_is_deleted(
    make_namespace: MakeNamespace, figures: Figures
) -> None:
    namespace = make_namespace()
    namespace.apply_example("leader.yaml")
    pods = namespace.pods("app=leader", 3)
    (first,) = wait_until(lambda: lines_with(pods, "leader", "leads, with token"), "one leads")
    wait_until(lambda: namespace.locks()[0]["spec"].get("waiters") == 2, "two wait")
    (leader,) = [pod for pod in pods if pod.name in first.text]
    assert namespace.locks()[0]["spec"]["owner"] == leader.name
    namespace.here("delete", "pod", leader.name, "--wait=false")
    both = wait_until(lambda: found if len(found := lines_with(pods, "leader", "leads, with")) > 1 else [], "another")
    (down,) = wait_until(lambda: lines_with(pods, "leader", "stands down"), "the first stands down")
    assert leader.name in down.text
    assert both[1].at > down.at - READ_SECONDS
    assert token_in(both[0].text) < token_in(both[1].text)
    figures.update(from_standing_down_to_leading=round(both[1].at - down.at, 3))
    assert both[1].at - down.at < 1.0 * GENEROUS


def test_a_migration_runs_once_and_its_job_completes(make_namespace: MakeNamespace, figures: Figures) -> None:
    namespace = make_namespace()
    namespace.provide_volume()
    namespace.apply_example("migration.yaml")
    wait_until(lambda: namespace.get("jobs", "migration")["status"].get("completionTime"), "the job completes")
    pods = namespace.pods("app=migration", 3, is_complete)
    assert len(lines_with(pods, "migration", "goes to version")) == 2
    assert [line.text.partition("found ")[2] for line in lines_with(pods, "migration", "found version")] == [
        "version 0, now it is 2",
        *["version 2, now it is 2"] * 2,
    ]
    job = namespace.get("jobs", "migration")["status"]
    figures.update(pods=job["succeeded"], failed=job.get("failed", 0), migrated=1)
    assert (job["succeeded"], job.get("failed", 0)) == (3, 0)


def test_a_cron_job_does_not_overlap_itself(make_namespace: MakeNamespace, figures: Figures) -> None:
    namespace = make_namespace()
    # Only the runs of this test: at the full minute another one would begin.
    only_by_hand = '[{"op": "add", "path": "/spec/suspend", "value": true}]'
    namespace.apply_example("cronjob.yaml", {"target": {"kind": "CronJob"}, "patch": only_by_hand})
    assert namespace.get("cronjobs", "report")["spec"]["concurrencyPolicy"] == "Allow"
    for name in ("first", "second"):
        namespace.here("create", "job", name, "--from=cronjob/report")
    pods = namespace.pods("app=report", 2, has_started)
    (busy,) = wait_until(lambda: lines_with(pods, "report", "making the report, with"), "one is at work")
    wait_until(lambda: lines_with(pods, "report", "another run is at work"), "the other finds nothing to do")
    done = wait_until(lambda: [name for name in ("first", "second") if has_completed(namespace, name)], "its job ends")
    assert len(done) == 1
    (other,) = {"first", "second"} - set(done)
    assert namespace.locks()[0]["spec"]["owner"].startswith(other)
    # With the one at work gone, the next run makes the report.
    namespace.here("delete", "job", other, "--wait=false")
    namespace.here("create", "job", "third", "--from=cronjob/report")
    pods = namespace.pods("job-name=third", 1, has_started)
    (line,) = wait_until(lambda: lines_with(pods, "report", "making the report"), "the next run is at work")
    assert token_in(line.text) > token_in(busy.text)
    figures.update(at_work=1, turned_away=1, overlaps=0)


def test_workers_take_turns(make_namespace: MakeNamespace, figures: Figures) -> None:
    namespace = make_namespace()
    namespace.apply_example("workers.yaml")
    pods = namespace.pods("app=worker", 3)
    workers = {"worker-0", "worker-1", "worker-2"}
    wait_until(lambda: {one.text.split()[0] for one in turns_of(pods)} == workers, "each has had a turn")
    turns = turns_of(pods)
    for one, another in itertools.pairwise(turns):
        assert another.at - one.at > TURN_SECONDS - READ_SECONDS
        assert token_in(another.text) > token_in(one.text)
    figures.update(turns=len(turns), overlaps=0)


def turns_of(pods: list[Pod]) -> list[Line]:
    return lines_with(pods, "worker", "sends order")


def is_complete(found: dict[str, Any]) -> bool:
    return bool(found["status"]["phase"] == "Succeeded")


def has_started(found: dict[str, Any]) -> bool:
    states = found["status"].get("containerStatuses", ())
    return any(one["name"] == "report" and "waiting" not in one["state"] for one in states)


def has_completed(namespace: Namespace, job: str) -> bool:
    return bool(namespace.get("jobs", job)["status"].get("succeeded"))
