"""Leaders on a Kubernetes API server: what they say about themselves, and who hears of the next one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from metaparticle_sync import Election, Leader, wire
from tests.cluster.electors import PodElector, client_of, pod_electors
from tests.cluster.namespaces import Namespace
from tests.processes.electors import LONG
from tests.processes.running import wait_until

LONGEST = {"url": "ö" * (wire.METADATA_CHARACTERS_MAX - len('{"url":""}'))}


@pytest.fixture
def two(namespace: Namespace) -> Iterator[list[PodElector]]:
    with pod_electors(namespace, 2, LONG) as electors:
        yield electors


def test_metadata_stand_in_the_object_and_everybody_hears_of_the_next_leader(
    namespace: Namespace, two: list[PodElector]
) -> None:
    first, second = two
    heard: list[Leader | None] = []
    changes = Election("x", base_uri=second.url).changes()

    def watch() -> None:
        for leader in changes:
            heard.append(leader)  # noqa: PERF402 -- the test looks at it meanwhile

    watching = threading.Thread(target=watch)
    watching.start()
    with client_of(first) as holder, client_of(second) as waiter:
        ids = [wire.new_id(), wire.new_id()]
        body = {"client": holder.id, "holder": ids[0], "metadata": {"url": "http://first/", "n": [1, None]}}
        assert holder.send("PUT", "/locks/x", body).answer().status == 200
        assert json.loads(spec(namespace)["metadata"]) == {"url": "http://first/", "n": [1, None]}
        body = {"client": waiter.id, "holder": ids[1], "metadata": LONGEST, "wait_seconds": 25}
        waiting = waiter.send("PUT", "/locks/x", body)
        first.wait_for_waiters("x", 1)
        assert json.loads(spec(namespace)["queue"][0]["metadata"]) == LONGEST
        holder.release("x", ids[0])
        assert waiting.answer().status == 200
        assert json.loads(spec(namespace)["metadata"]) == LONGEST
        wait_until(lambda: heard and heard[-1] is not None and heard[-1].metadata == LONGEST, "the next one is known")
    changes.close()
    watching.join()
    assert [leader and leader.owner for leader in heard] in (
        [None, first.pod, second.pod],
        [first.pod, second.pod],  # It began to watch late.
    )


def spec(namespace: Namespace) -> dict[str, object]:
    shown = namespace.plane.kubectl("get", "lock", "x", "-n", namespace.name, "-o", "json")
    found = json.loads(shown)["spec"]
    assert isinstance(found, dict)
    return found
