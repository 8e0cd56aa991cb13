"""The `elector` command: what it says when it serves, and when it can not."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from metaparticle_sync import wire
from tests.http.serving import PATIENCE_SECONDS, read_reply, request_bytes, run_elector, serving
from tests.processes.running import GENEROUS, wait_until

START_SECONDS = 0.6


def _refusal(output: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Exit status and words of a command that must not serve."""
    process = run_elector(output, *arguments, **environment)
    try:
        return process.exit_code(), output.read_text().splitlines()
    finally:
        process.end()


def test_without_its_packages_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['gunicorn'] = None; from elector_server.__main__ import main; main(['--port', '0'])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert "the package gunicorn" in answer.stderr
    assert "pip install 'metaparticle_sync[elector]'" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_first_answer(tmp_path: Path) -> None:
    started = time.monotonic()
    with serving(tmp_path / "log", "--store", "memory") as elector:
        assert elector.ask("GET", "/locks/x").status == 404
        assert time.monotonic() - started < START_SECONDS * GENEROUS


def test_says_where_it_is_and_what_it_means(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as elector:
        store = tmp_path / ".local/state/metaparticle-sync/store.sqlite3"
        first, second = elector.log.splitlines()[:2]
        assert f"elector {wire.VERSION} serves http://127.0.0.1:{elector.port}" in first
        assert f"health on http://127.0.0.1:{elector.health_port}" in first
        assert first.endswith(f"store sqlite {store}")
        assert "another user" in second
        assert store.exists()


def test_says_what_memory_means_and_what_a_short_lease_means(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory", "--lease-seconds", "6", "--health-port", "0") as elector:
        assert elector.health_port == 0
        assert "health on" not in elector.log
        assert "free again when this elector's process ends" in elector.log
        assert "(the original protocol) are refused: the lease is 6 s" in elector.log
        answer = elector.ask("PUT", "/locks/x")
        assert (answer.status, answer.json["code"]) == (409, "legacy_disabled")


def test_health_has_an_address_of_its_own(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory", "--health-host", "127.0.0.2") as elector:
        assert elector.ask("GET", "/locks/x").status == 404
        with closing(http.client.HTTPConnection("127.0.0.2", elector.health_port, timeout=PATIENCE_SECONDS)) as probe:
            probe.request("GET", "/healthz")
            assert probe.getresponse().status == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", elector.port), timeout=PATIENCE_SECONDS)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", elector.health_port), timeout=PATIENCE_SECONDS)


def test_warns_when_other_machines_can_reach_it(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory", "--host", "0.0.0.0") as elector:
        assert "0.0.0.0 may be reached from other machines" in elector.log
        assert elector.ask("GET", "/locks/x").status == 404


def test_json_log_has_one_object_on_each_line(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory", "--log-format", "json") as elector:
        wait_until(lambda: "began session" in elector.log, "the session is in the log")
        lines = [json.loads(line) for line in elector.log.splitlines()]
        assert all(line.keys() >= {"time", "level", "message", "process"} for line in lines)


def test_settings_by_variables(tmp_path: Path) -> None:
    with serving(
        tmp_path / "log",
        ELECTOR_STORE="sqlite",
        ELECTOR_STATE_DIR=str(tmp_path / "here"),
        ELECTOR_ALLOWED_HOST="elector.example",
        ELECTOR_SERVICE_HOST="10.0.0.1",
    ) as elector:
        assert (tmp_path / "here" / "store.sqlite3").exists()
        assert elector.ask("GET", "/locks/x", Host="elector.example").status == 404
        assert elector.ask("GET", "/locks/x", Host="evil.example").status == 421


def test_health_is_on_its_own_port(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        assert elector.ask("GET", "/healthz", health=True).body == b"ok\n"
        wait_until(lambda: elector.ask("GET", "/readyz", health=True).status == 200, "it is ready")
        assert b"elector_ready 1.0" in elector.ask("GET", "/metrics", health=True).body
        assert elector.ask("GET", "/healthz").status == 400


def test_the_limit_of_open_files_is_raised(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        limits = Path(f"/proc/{elector.worker().pid}/limits").read_text()
        (line,) = [line.split() for line in limits.splitlines() if line.startswith("Max open files")]
        assert line[3] == line[4]


def test_an_idle_worker_is_small(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        wait_until(lambda: elector.ask("GET", "/readyz", health=True).status == 200, "it is ready")
        status = Path(f"/proc/{elector.worker().pid}/status").read_text()
        (resident,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
        assert resident <= 45 * 1024


def test_the_peer_is_the_connections_not_a_headers(tmp_path: Path) -> None:
    """X-Forwarded-For must not change the address that a proof of death rests on."""
    with serving(tmp_path / "log", "--store", "memory") as elector:
        client = wire.new_id()
        assert elector.ask("PUT", wire.session_path(client), {"process": "p"}).status == 200
        request = request_bytes("GET", wire.stream_path(client)).replace(
            b"\r\n\r\n", b"\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1:1\r\n\r\n"
        )
        with elector.connect(request) as connection:
            received = b""
            while b"attached" not in received:
                received += connection.recv(4096)
            host, port = connection.getsockname()
            assert f'"peer":"{host}:{port}"'.encode() in received


def test_what_is_no_http_is_a_problem_too(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        for request in ("GET /locks/é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), b"nonsense\r\n\r\n"):
            with elector.connect(request) as connection:
                reply = read_reply(connection)
            assert (reply.status, reply.json["code"]) == (400, "bad_path")
            assert reply.headers["content-type"] == wire.PROBLEM_TYPE


def test_a_connection_serves_on_after_a_body_that_was_too_large(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        head = b"PUT /locks/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        with elector.connect(head + chunk * 40 + b"0\r\n\r\n") as connection:
            assert read_reply(connection).status == 413
            connection.sendall(request_bytes("GET", "/locks/x"))
            assert read_reply(connection).status == 404


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--store", "memory") as elector:
        requests = b"".join(request_bytes("GET", f"/locks/{name}") for name in "abc")
        with elector.connect(requests) as connection:
            received = b""
            while received.count(b"lock_free") < 3:
                received += connection.recv(4096)
        places = [received.index(f"lock '{name}'".encode()) for name in "abc"]
        assert places == sorted(places)


# Refusals -----------------------------------------------------------------------------------------------------------


def test_wrong_settings(tmp_path: Path) -> None:
    status, lines = _refusal(tmp_path / "log", "--lease-seconds", "1", "--port", "x", ELECTOR_STORE="redis")
    assert status == 2
    assert len(lines) == 3
    assert all(line.startswith("elector: ") for line in lines)


def test_port_of_another_elector(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--state-dir", str(tmp_path / "here")) as elector:
        status, lines = _refusal(tmp_path / "second", "--port", str(elector.port))
    assert status == 1
    (line,) = lines
    assert f"port {elector.port} of 127.0.0.1 (--port) is taken: an elector already runs here" in line
    assert line.endswith(f"store sqlite {tmp_path}/here/store.sqlite3")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"\x00\x01"])
def test_port_of_another_program(tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(PATIENCE_SECONDS)
        process = run_elector(tmp_path / "log", "--port", str(other.getsockname()[1]))
        try:
            connection, _ = other.accept()
            connection.recv(4096)
            connection.sendall(answer)
            connection.close()
            assert process.exit_code() == 1
        finally:
            process.end()
    assert "in use by another program" in (tmp_path / "log").read_text()


def test_health_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        status, lines = _refusal(tmp_path / "log", "--port", "0", "--health-port", port)
    assert status == 1
    assert f"port {port} of 127.0.0.1 (--health-port) is taken" in lines[0]


def test_address_of_another_machine(tmp_path: Path) -> None:
    status, lines = _refusal(tmp_path / "log", "--port", "0", "--host", "192.0.2.1")
    assert (status, lines) == (2, ["elector: --host is '192.0.2.1': it must be an address of this machine"])


def test_name_of_no_machine(tmp_path: Path) -> None:
    status, lines = _refusal(tmp_path / "log", "--port", "0", "--host", "nowhere.invalid")
    assert status == 2
    assert "--host is 'nowhere.invalid': it must be an address or a name of this machine" in lines[0]


def _make_file(path: Path) -> None:
    path.write_text("a file")


def _make_no_database(path: Path) -> None:
    path.mkdir()
    (path / "store.sqlite3").write_text("this is no SQLite database, and was never one" * 100)


def _make_newer_schema(path: Path) -> None:
    path.mkdir()
    with closing(sqlite3.connect(path / "store.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 999999")
        connection.execute("CREATE TABLE later (x)")
        connection.commit()


@pytest.mark.parametrize(
    "make", [_make_file, _make_no_database, _make_newer_schema], ids=lambda make: make.__name__[6:]
)
def test_state_folder_that_can_not_be_used(tmp_path: Path, make) -> None:
    make(tmp_path / "here")
    status, lines = _refusal(tmp_path / "log", "--port", "0", "--state-dir", str(tmp_path / "here"))
    assert status == 2, lines
    (line,) = lines
    assert "ERROR" in line
    assert str(tmp_path / "here") in line


def test_state_folder_that_can_not_be_made(tmp_path: Path) -> None:
    status, (line,) = _refusal(tmp_path / "log", "--port", "0", "--state-dir", "/proc/nowhere")
    assert status == 2
    assert "'/proc/nowhere'" in line


def test_identity_of_a_running_elector(tmp_path: Path) -> None:
    """The same folder and port, though the port looks free: another network namespace, or another address."""
    arguments = ("--state-dir", str(tmp_path / "here"), "--health-port", "0")
    with serving(tmp_path / "log", *arguments) as elector:
        second = ("--port", str(elector.port), "--host", "127.0.0.2", *arguments)
        status, lines = _refusal(tmp_path / "second", *second)
    assert status == 1
    assert "an elector already runs as" in lines[0]
