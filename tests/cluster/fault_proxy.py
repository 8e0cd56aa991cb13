"""A proxy between elector and API server that does, on demand, what networks, servers and proxies do wrong.

    elector ── TLS ──> FaultProxy ── TLS ──> kube-apiserver
                       │ a rule that fits: its fault answers, or holds, or breaks the connection
                       └ else the request goes on, and its answer comes back, piece by piece

HTTP/1.1 over TLS on the loopback, verified on both sides. A request that was taken goes on even if the elector has
given it up and closed its connection: so writes arrive late. Everything that was asked is in `seen`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote

from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespaces import Namespace
from tests.processes.history import now_ns

LIMIT: Final = 64 * 1024 * 1024
START_SECONDS: Final = 30.0

_PATH: Final = re.compile(r"/apis/metaparticle\.io/v1/namespaces/[^/?]+/(\w+)(?:/([^?]+))?(?:\?(.*))?")


@dataclass(eq=False)
class Exchange:
    """One request, in the words of RBAC, and what became of it.

    Attributes:
        at: when it came, by the clock of all histories.
        status: of the API server's answer; 0 before that, or if it was never asked.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    _proxy: FaultProxy
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    at: int = field(default_factory=now_ns)
    status: int = 0
    reused: bool = True

    def __post_init__(self) -> None:
        found = _PATH.fullmatch(self.target)
        self.plural, self.name, self.query = (part or "" for part in found.groups()) if found else ("", "", "")

    def __str__(self) -> str:
        return f"{self.verb} {self.plural} {self.name} {unquote(self.query)} -> {self.status}"

    @property
    def verb(self) -> str:
        """What RBAC calls it."""
        if self.method == "GET":
            return "watch" if "watch=1" in self.query else "get" if self.name else "list"
        return {"POST": "create", "PUT": "update", "DELETE": "delete"}[self.method]

    async def answer(self) -> AsyncIterator[bytes]:
        """Ask the API server; its answer, head first, as the bytes come."""
        async for data in self._proxy.ask(self):
            yield data

    async def whole_answer(self) -> tuple[bytes, bytes]:
        """Ask the API server, and wait for all of its answer: head and body."""
        head, *rest = [data async for data in self.answer()]
        return head, b"".join(rest)

    async def send(self, data: bytes) -> None:
        """Send to the elector, if it is still there."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def until_gone(self) -> None:
        """Say nothing more, and wait until the elector closes the connection."""
        self.reused = False
        with contextlib.suppress(ConnectionError):
            await self._reader.read()

    @property
    def is_gone(self) -> bool:
        """Whether the elector has closed the connection."""
        return self._writer.is_closing() or self._reader.at_eof()

    def reset(self) -> None:
        """Break the connection as a router does that has forgotten it: with a RST."""
        self.reused = False
        raw: socket.socket | None = self._writer.get_extra_info("socket")
        if raw is not None:  # Else the elector closed it before.
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection in an orderly way."""
        self.reused = False
        self._writer.close()


Fault = Callable[[Exchange], Awaitable[None]]


class Rule:
    """A fault, and the requests that meet it."""

    def __init__(self, fits: Callable[[Exchange], bool], fault: Fault, times: int | None) -> None:
        self._fits = fits
        self._left = times
        self.fault = fault
        self.met: list[Exchange] = []

    @property
    def is_used_up(self) -> bool:
        return self._left == 0

    def takes(self, exchange: Exchange) -> bool:
        """Whether this request meets the fault, which counts it."""
        if self.is_used_up or not self._fits(exchange):
            return False
        if self._left is not None:
            self._left -= 1
        self.met.append(exchange)
        return True


class FaultProxy:
    """Use as a context: it runs in a thread of its own."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._plane = plane
        self._folder = folder
        self._rules: list[Rule] = []
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._under_way: dict[Exchange, asyncio.Task[Any] | None] = {}
        self._open: set[asyncio.StreamWriter] = set()
        self._connecting: set[asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = set()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="fault proxy")
        self.port = 0
        self.connects = 0
        self.seen: list[Exchange] = []

    # What tests use ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        make_certificate(self._folder)
        self._thread.start()
        assert self._listening.wait(START_SECONDS), "the proxy does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate by which this proxy is known."""
        return self._folder / "proxy.crt"

    @property
    def open_connections(self) -> int:
        """How many connections of electors stand."""
        return len(self._open)

    def under_way(self, verb: str) -> int:
        """How many requests of that kind are not answered to the end."""
        return sum(one.verb == verb and not one.is_gone for one in list(self._under_way))

    def kubeconfig(self, namespace: Namespace, **user: Any) -> Path:
        """A kubeconfig that leads here; by default with the service account of a namespace."""
        path = self._folder / f"{namespace.name}.kubeconfig"
        user = user or {"tokenFile": str(namespace.service_account / "token")}
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        context = {"cluster": "tests", "user": "user", "namespace": namespace.name}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "tests", "context": context}],
        }
        path.write_text(json.dumps(config))
        return path

    def rule(self, fault: Fault, verb: str = "", plural: str = "", *, name: str = "", times: int | None = None) -> Rule:
        """Let requests of that kind meet a fault from now on, so many of them or all. The newest rule goes first."""

        def fits(exchange: Exchange) -> bool:
            asked = (exchange.verb, exchange.plural, exchange.name)
            return all(wanted in {"", found} for wanted, found in zip((verb, plural, name), asked, strict=True))

        rule = Rule(fits, fault, times)
        self._rules.insert(0, rule)
        return rule

    def clear(self) -> None:
        """Be an honest proxy again."""
        self._rules.clear()

    def break_watches(self) -> None:
        """Break those that run: they began before the rules did."""
        self._loop.call_soon_threadsafe(self._reset_watches)

    def break_all(self) -> None:
        """Break every connection of electors."""
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in list(self._open)])

    def use_certificate(self, folder: Path) -> None:
        """Be known by another certificate from the next connection on."""
        self._context.load_cert_chain(folder / "proxy.crt", folder / "proxy.key")

    def stop_listening(self) -> None:
        """Refuse every new connection."""
        self._run(self._close_server())

    def listen_again(self) -> None:
        """At the same port."""
        self._run(self._listen())

    def asked(self, verb: str = "", plural: str = "") -> list[Exchange]:
        """What was asked so far, of one kind."""
        return [one for one in self.seen if verb in {"", one.verb} and plural in {"", one.plural}]

    # The proxy --------------------------------------------------------------------------------------------------

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.authority, self._folder / "proxy.key")
        await self._listen()
        self._listening.set()
        await self._stop.wait()
        await self._close_server()
        writers = [*self._open, *(writer for _, writer in self._kept)]
        tasks = asyncio.all_tasks() - self._connecting - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connected = await asyncio.gather(*self._connecting, return_exceptions=True)
        writers += [one[1] for one in connected if not isinstance(one, BaseException)]
        for writer in writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context, limit=LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close_server(self) -> None:
        self._server.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)

    def _reset_watches(self) -> None:
        for exchange in self._under_way:
            if exchange.verb == "watch":
                exchange.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        self._open.add(writer)
        number = self.connects
        try:
            while (exchange := await self._next(reader, writer, number)) is not None:
                # A task of its own: it goes on, whatever becomes of this connection.
                await asyncio.shield(asyncio.ensure_future(self._carry_out(exchange)))
                if not exchange.reused:
                    break
        except asyncio.CancelledError:
            return  # The proxy ends.
        finally:
            self._open.discard(writer)
            writer.close()

    async def _next(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> Exchange | None:
        try:
            first, headers = _parsed(await reader.readuntil(b"\r\n\r\n"))
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        exchange = Exchange(first[0], first[1], headers, body, connection, self, reader, writer)
        self.seen.append(exchange)
        return exchange

    async def _carry_out(self, exchange: Exchange) -> None:
        rule = next((rule for rule in list(self._rules) if rule.takes(exchange)), None)
        self._under_way[exchange] = asyncio.current_task()
        try:
            await (rule.fault if rule else pass_on)(exchange)
        except (OSError, asyncio.IncompleteReadError):
            exchange.close()  # The API server went away.
        finally:
            del self._under_way[exchange]

    async def ask(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """The API server's answer, as it comes."""
        reader, writer = self._kept.pop() if self._kept and exchange.verb != "watch" else await self._connect()
        try:
            writer.write(_request(exchange))
            head = await reader.readuntil(b"\r\n\r\n")
            first, headers = _parsed(head)
            exchange.status = int(first[1])
            yield head
            async for data in _body(reader, headers):
                yield data
        except BaseException:
            writer.transport.abort()
            raise
        self._kept.append((reader, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # A connection whose making is cancelled would never be closed: it is made to the end, and then aborted.
        opening = asyncio.open_connection("127.0.0.1", self._plane.port, ssl=self._plane.tls(), limit=LIMIT)
        connecting = asyncio.create_task(opening)
        self._connecting.add(connecting)
        streams = await asyncio.shield(connecting)
        self._connecting.discard(connecting)
        return streams


async def pass_on(exchange: Exchange) -> None:
    """No fault: the answer comes back as it comes."""
    async for data in exchange.answer():
        if exchange.is_gone:
            return
        await exchange.send(data)


def _parsed(head: bytes) -> tuple[list[str], dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first.split(" ", 2), {name.lower(): value.strip() for name, _, value in pairs}


def _request(exchange: Exchange) -> bytes:
    lines = [f"{exchange.method} {exchange.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in exchange.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + exchange.body


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding") != "chunked":
        yield await reader.readexactly(int(headers["content-length"]))
        return
    while True:
        size = await reader.readline()
        data = await reader.readexactly(int(size, 16) + 2)
        yield size + data
        if int(size, 16) == 0:
            return


def make_certificate(folder: Path) -> None:
    """proxy.crt and proxy.key, for 127.0.0.1."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=proxy", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "proxy.key"), "-out", str(folder / "proxy.crt")]
    subprocess.run(command, check=True, capture_output=True)
