from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from elector_server.trouble import Cause
from tests.http.asking import HEALTH_PORT, Answer, app_of, ask
from tests.http.fake_elector import FakeElector

POD = [("host", "10.1.2.3:13132")]


def _get(target: str, elector: FakeElector | None = None, method: str = "GET") -> Answer:
    return ask(app_of(elector or FakeElector()), method, target, port=HEALTH_PORT, headers=POD)


def test_healthz_asks_nobody() -> None:
    elector = FakeElector()
    answer = _get("/healthz", elector)
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert elector.calls == []


def test_readyz_when_ready() -> None:
    answer = _get("/readyz")
    assert (answer.status, answer.json) == (200, {"ready": True, "code": None, "reason": None})


def test_readyz_says_why_not() -> None:
    elector = FakeElector()
    elector.not_ready = Cause("crd_missing", "the cluster has no custom resource definition")
    answer = _get("/readyz", elector)
    assert (answer.status, answer.json) == (
        503,
        {"ready": False, "code": "crd_missing", "reason": "the cluster has no custom resource definition"},
    )


def test_metrics_are_what_prometheus_reads() -> None:
    elector = FakeElector()
    app = app_of(elector)
    for _ in range(2):
        answer = ask(app, "GET", "/metrics", port=HEALTH_PORT, headers=POD)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    assert samples["elector_ready",] == 1
    assert {kind: samples["elector_holds", kind] for kind in elector.holds} == elector.holds
    assert {kind: samples["elector_waits", kind] for kind in elector.waits} == elector.waits
    assert samples["elector_grants_total",] == 3
    assert samples["elector_losses_total",] == 0
    assert samples["process_resident_memory_bytes",] > 0


def test_health_has_no_locks_and_locks_have_no_health() -> None:
    assert _get("/locks/a").code == "bad_path"
    assert ask(app_of(FakeElector()), "GET", "/healthz").code == "bad_path"
    assert _get("/healthz", method="PUT").code == "bad_method"


def test_a_query_is_no_matter_to_a_probe() -> None:
    assert _get("/readyz?verbose").status == 200
