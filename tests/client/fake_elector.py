"""A small elector in a thread of the test: the wire protocol, no store, and faults at the push of a button.

It is not the real one's twin, but the other side of the client's bargain: it records what it is asked, and it can be
told to answer anything, nothing, late or half.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote

from metaparticle_sync import wire
from tests.client.fake_looks import look

BOUND_SECONDS = 20.0


class Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any]
    peer: str


class Fault(NamedTuple):
    """What happens instead of an answer to the requests that match; `times` times."""

    method: str
    path: str
    act: Callable[[Handler], None]
    times: int


class FakeElector:
    """Start it with `start`; `kill` ends it as SIGKILL would; `start` again is a restart on the same port."""

    def __init__(self, *, valid_seconds: float = 10.0, tick_seconds: float = 1.0) -> None:
        self.valid_seconds = valid_seconds
        self.tick_seconds = tick_seconds
        self.incarnation = "one"
        self.status_extras: dict[str, Any] = {}
        self.changed = threading.Condition()
        self.clients: dict[str, str | None] = {}
        """By client, its stream's address."""
        self.locks: dict[str, tuple[str, str, int]] = {}
        self.queues: dict[str, list[str]] = {}
        self.dead: set[str] = set()
        self.lost: dict[str, dict[str, dict[str, str]]] = {}
        self.undecided = False
        self.requests: list[Request] = []
        self.streams: dict[str, deque[dict[str, Any] | None]] = {}
        self.tokens = 100
        self.kinds: dict[str, Any] = {}
        """What else than locks it has, by the first part of the path: see `fake_semaphores`."""
        self.metadata: dict[int, Any] = {}  # Of the holder of each token.
        self.sends_tags = True
        self.muted: set[str] = set()
        """Addresses of streams on which nothing is sent any more."""
        self.port = 0
        self._faults: list[Fault] = []
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> FakeElector:
        self._server = _Server(("127.0.0.1", self.port), Handler)
        self._server.fake = self
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def kill(self) -> None:
        """All connections end; what clients were known is forgotten, what is held is not."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        with self.changed:
            self.clients.clear()
            self.queues.clear()
            server.is_dead = True
            self.changed.notify_all()
        server.end_connections()

    def inject(self, method: str, path: str, act: Callable[[Handler], None], times: int = 1) -> None:
        """Let the next `times` requests that match (a regular expression) meet a fault."""
        with self.changed:
            self._faults.append(Fault(method, path, act, times))

    def heal(self) -> None:
        with self.changed:
            self._faults.clear()

    def take_fault(self, method: str, path: str) -> Callable[[Handler], None] | None:
        with self.changed:
            for index, fault in enumerate(self._faults):
                if fault.method == method and re.search(fault.path, path):
                    if fault.times == 1:
                        del self._faults[index]
                    else:
                        self._faults[index] = fault._replace(times=fault.times - 1)
                    return fault.act
        return None

    def holder_of(self, name: str) -> str | None:
        with self.changed:
            return self.locks[name][1] if name in self.locks else None

    def has(self, hold: dict[str, str]) -> bool:
        """Whether what a client presents is held."""
        if hold["kind"] == "lock":
            return self.holder_of(hold["name"]) == hold["holder"]
        return self.kinds[f"{hold['kind']}s"].has(hold["name"], hold["holder"])

    def take(self, name: str) -> None:
        """Somebody else, on another machine, holds it."""
        with self.changed:
            self.tokens += 1
            self.locks[name] = ("other", "0" * 32, self.tokens)
            self.changed.notify_all()

    def free(self, name: str) -> None:
        with self.changed:
            self._hand_on(name)

    def lose(self, name: str, reason: str = "because of the test") -> None:
        """Tell the holder that it is no more."""
        with self.changed:
            client, holder, _ = self.locks.pop(name)
            self.dead.add(holder)
            loss = {"kind": "lock", "name": name, "holder": holder, "reason": reason}
            self.lost.setdefault(client, {})[holder] = loss
            self.push(client, {"event": "lost"} | loss)

    def push(self, client: str, event: dict[str, Any] | None) -> None:
        with self.changed:
            if client in self.streams:
                self.streams[client].append(event)
                self.changed.notify_all()

    def asked(self, method: str, path: str) -> list[Request]:
        with self.changed:
            return [request for request in self.requests if request.method == method and re.search(path, request.path)]

    def waits_for(self, condition: Callable[[], object]) -> bool:
        """Wait until it is true, with a bound."""
        return eventually(condition)

    def _hand_on(self, name: str) -> None:
        self.locks.pop(name, None)
        self.changed.notify_all()


def eventually(condition: Callable[[], object], seconds: float = BOUND_SECONDS) -> bool:
    """Wait until it is true; False if it never was within the bound."""
    until = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():
        if time.monotonic() > until:
            return False
        tick.wait(0.002)
    return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128
    fake: FakeElector
    is_dead = False

    def __init__(self, *args: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, *_: Any) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 -- http.server's names

    def answer(self, status: int, body: Any = None, content_type: str = "application/json", headers: Any = ()) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in [*([("Content-Type", content_type)] if data else []), *headers]:
            self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def problem(self, status: int, code: str, **extra: Any) -> None:
        body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": f"it is {code}"}
        self.answer(status, body | extra, wire.PROBLEM_TYPE)

    def _serve(self) -> None:
        fake = self.server.fake
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        peer = f"{self.client_address[0]}:{self.client_address[1]}"
        with fake.changed:
            fake.requests.append(Request(self.command, self.path, body, peer))
        fault = fake.take_fault(self.command, self.path)
        if fault is not None:
            fault(self)
            return
        kind, _, rest = self.path[1:].partition("/")
        if kind == "sessions":
            client, _, tail = rest.partition("/")
            self._stream(client) if tail else self._session(client, body)
        elif kind in fake.kinds:
            with fake.changed:
                fake.kinds[kind].serve(self, unquote(rest), body)
        else:
            self._lock(unquote(rest), body)

    def _session(self, client: str, body: dict[str, Any]) -> None:
        fake = self.server.fake
        with fake.changed:
            if self.command == "DELETE":
                fake.clients.pop(client, None)
                for name in [name for name, lock in fake.locks.items() if lock[0] == client]:
                    fake._hand_on(name)
                self.answer(204)
                return
            if self.command == "POST" and client not in fake.clients:
                self.problem(409, "unknown_client")
                return
            fake.clients[client] = body["stream"]
            losses = fake.lost.setdefault(client, {})
            for holder in body.get("acknowledged", ()):
                losses.pop(holder, None)
            held = []
            for hold in body.get("holds", ()):
                if fake.has(hold):
                    held.append(hold["holder"])
                else:
                    losses[hold["holder"]] = {**hold, "reason": "not held any more"}
            self.answer(
                200,
                {
                    "client": client,
                    "incarnation": fake.incarnation,
                    "valid_seconds": fake.valid_seconds,
                    "ttl_seconds": 30.0,
                    "tick_seconds": fake.tick_seconds,
                    "holds": [] if fake.undecided else held,
                    "lost": list(losses.values()),
                    **fake.status_extras,
                },
            )

    def _stream(self, client: str) -> None:
        fake = self.server.fake
        if client not in fake.clients:
            self.problem(409, "unknown_client")
            return
        self.send_response(200)
        self.send_header("Content-Type", wire.STREAM_TYPE)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        peer = f"{self.client_address[0]}:{self.client_address[1]}"
        events: deque[dict[str, Any] | None] = deque(
            [{"event": "attached", "peer": peer, "tick_seconds": fake.tick_seconds}]
        )
        with fake.changed:
            fake.streams[client] = events
        while not self.server.is_dead:
            with fake.changed:
                if not events:
                    fake.changed.wait(fake.tick_seconds)
                event = events.popleft() if events else {"event": "tick"}
            if peer in fake.muted:
                continue
            if event is None:
                self.wfile.write(b"0\r\n\r\n")
                self.wfile.flush()
                return
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()

    def _lock(self, name: str, body: dict[str, Any]) -> None:
        with self.server.fake.changed:
            if self.command == "GET":
                look(self, name)
            elif self.command == "DELETE":
                self._release(name, body)
            else:
                self._acquire(name, body)

    def _release(self, name: str, body: dict[str, Any]) -> None:
        fake = self.server.fake
        holder = body["holder"]
        lock = fake.locks.get(name)
        queue = fake.queues.get(name, [])
        known = holder in fake.dead
        fake.dead.add(holder)
        if lock is not None and lock[1] == holder:
            fake._hand_on(name)
        elif holder in queue:
            queue.remove(holder)
            fake.changed.notify_all()
        elif not known:
            held_by = {"owner": "pod-7", "process": "host:17 worker.py", "token": str(lock[2])} if lock else None
            self.problem(409, "not_held", **({"held_by": held_by} if held_by else {}))
            return
        self.answer(204)

    def _acquire(self, name: str, body: dict[str, Any]) -> None:
        fake = self.server.fake
        client, holder, wait_seconds = body["client"], body["holder"], body["wait_seconds"]
        if client not in fake.clients:
            self.problem(409, "unknown_client")
            return
        queue = fake.queues.setdefault(name, [])
        if holder not in queue:
            queue.append(holder)
        until = time.monotonic() + wait_seconds
        while holder not in fake.dead:
            lock = fake.locks.get(name)
            if lock is None and queue and queue[0] == holder:
                fake.tokens += 1
                lock = fake.locks[name] = (client, holder, fake.tokens)
                fake.metadata[fake.tokens] = body.get("metadata", {})
                fake.changed.notify_all()
            if lock is not None and lock[1] == holder:
                if holder in queue:
                    queue.remove(holder)
                self._grant(name, holder, lock[2])
                return
            if wait_seconds == 0:
                queue.remove(holder)
                self.problem(409, "lock_held", held_by={"owner": "pod-7", "process": "host:17 worker.py"})
                return
            left = until - time.monotonic()
            if self.server.is_dead:
                return
            if left <= 0:
                self.answer(202, {"name": name, "state": "waiting", "holder": holder})
                return
            fake.changed.wait(left)
        if holder in queue:
            queue.remove(holder)
        self.problem(409, "holder_dead")

    def _grant(self, name: str, holder: str, token: int) -> None:
        fake = self.server.fake
        self.answer(
            200,
            {
                "name": name,
                "state": "held",
                "holder": holder,
                "token": str(token),
                "valid_seconds": fake.valid_seconds,
                "incarnation": fake.incarnation,
            },
        )
