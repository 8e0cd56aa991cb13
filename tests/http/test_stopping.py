"""How the elector's processes end: soon, in order, and together."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from metaparticle_sync import wire
from tests.http.serving import Served, read_reply, request_bytes, serving
from tests.processes.running import GENEROUS, wait_until

STOP_SECONDS = 2.0
CLIENT = "c" * 32


def _hold(elector: Served, name: str) -> str:
    holder = wire.new_id()
    wait_until(
        lambda: elector.ask("PUT", wire.session_path(CLIENT), {"process": "p"}).json["incarnation"], "it has a session"
    )
    assert elector.ask("PUT", wire.lock_path(name), {"client": CLIENT, "holder": holder}).status == 200
    return holder


def _wait_bytes(name: str) -> bytes:
    return request_bytes("PUT", wire.lock_path(name), {"client": CLIENT, "holder": wire.new_id(), "wait_seconds": 25})


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP], ids=lambda number: number.name
)
def test_a_signal_ends_what_waits_and_the_processes(tmp_path: Path, store: str, number: signal.Signals) -> None:
    with serving(tmp_path / "log", "--store", store) as elector:
        _hold(elector, "x")
        parked = [elector.connect(_wait_bytes("x")) for _ in range(20)]
        idle = [elector.connect(request_bytes("GET", "/locks/x")) for _ in range(5)]
        silent = [elector.connect() for _ in range(5)]
        half = elector.connect(_wait_bytes("x")[:-10])
        stream = elector.connect(request_bytes("GET", wire.stream_path(CLIENT)))
        assert all(read_reply(connection).status == 200 for connection in idle)
        wait_until(lambda: elector.ask("GET", "/locks/x").json["spec"]["waiters"] == 20, "20 wait")
        assert b"attached" in stream.recv(4096)
        worker = elector.worker()

        stopped_at = time.monotonic()
        elector.process.known.signal(number)
        for connection in parked:
            reply = read_reply(connection)
            assert (reply.status, reply.json["code"]) == (503, "elector_stopping")
            assert reply.headers["retry-after"] == "1"
        rest = b""
        while received := stream.recv(4096):
            rest += received
        assert b'{"event":"stopping"}' in rest
        assert rest.endswith(b"0\r\n\r\n")
        assert elector.process.exit_code() == 0
        assert time.monotonic() - stopped_at < STOP_SECONDS * GENEROUS
        assert not worker.is_running()
        for connection in (*parked, *idle, *silent, half, stream):
            connection.close()
        assert "WARNING" not in elector.log
        assert "ERROR" not in elector.log
        assert "Traceback" not in elector.log


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        for _ in range(3):
            elector.process.known.signal(signal.SIGINT)
        assert elector.process.exit_code() == 0
        assert "Traceback" not in elector.log


def test_a_terminals_interrupt_reaches_both_processes(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        worker = elector.worker()
        worker.signal(signal.SIGINT)
        elector.process.known.signal(signal.SIGINT)
        assert elector.process.exit_code() == 0
        assert not worker.is_running()
        assert "Traceback" not in elector.log


def test_a_worker_that_is_stopped_alone_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--state-dir", str(tmp_path / "here")) as elector:
        holder = _hold(elector, "x")
        first = elector.worker()
        first.signal(signal.SIGTERM)
        first.wait_for_end()
        wait_until(lambda: elector.ask("GET", "/readyz", health=True).status == 200, "the next one is ready")
        assert elector.ask("GET", "/locks/x").json["spec"]["holder"] == holder[:8]
        assert "this one takes its place" in elector.log


def test_while_a_killed_worker_is_replaced_clients_wait_and_are_not_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--state-dir", str(tmp_path / "here")) as elector:
        holder = _hold(elector, "x")
        for _ in range(3):
            worker = elector.worker()
            worker.signal(signal.SIGKILL)
            worker.wait_for_end()
            assert elector.ask("GET", "/locks/x").json["spec"]["holder"] == holder[:8]


@pytest.mark.parametrize(
    "number",
    [signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH],
    ids=lambda number: number.name,
)
def test_signals_that_gunicorn_knows_more_of_do_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        worker = elector.worker()
        elector.process.known.signal(number)
        elector.process.known.signal(signal.SIGTERM)
        assert elector.process.exit_code() == 0
        assert not worker.is_running()
        assert elector.log.count("serves http") == 1
        assert "takes its place" not in elector.log


def test_a_killed_master_takes_its_worker_and_its_port_along(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--state-dir", str(tmp_path / "here")) as elector:
        worker = elector.worker()
        elector.process.known.signal(signal.SIGKILL)
        elector.process.exit_code()
        worker.wait_for_end()
        again = ("--state-dir", str(tmp_path / "here"), "--port", str(elector.port), "--health-port", "0")
        with serving(tmp_path / "second", *again) as second:
            assert second.ask("GET", "/locks/x").status == 404
