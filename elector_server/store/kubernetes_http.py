"""HTTP/1.1 to one API server: kept connections, own timeouts, and nothing that happens behind the caller's back.

No retries, no redirects, no proxies, nothing from the environment: each call is one request, and what became of it is
an answer, `NotSent` or `NotAnswered`. Measured against bare http.client, one PUT over TLS takes 0.96 times as long;
with aiohttp 1.04 times, with the kubernetes client in a thread 1.27 times. docs/design.md says why that decides.

    new ──> idle ── request ──> busy ── answer complete ──> idle
             │                   └── cancelled, broken ──> closed
             └── idle too long, closed by the server ──> closed
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple, cast

import httptools

CONNECT_SECONDS: Final = 3.0
CONCURRENT_CALLS_MAX: Final = 8
"""Calls under way at the same time. More of them do not make an API server faster; each costs a connection."""

IDLE_SECONDS: Final = 60.0
"""Shorter than the 90 s after which the API server closes an idle connection: no request meets a closing one."""

HEAD_BYTES_MAX: Final = 256 * 1024
"""More headers than any API server sends. What comes without end must not fill the memory."""

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
"""More than a list of ten thousand locks."""

_SILENT_PEER_MILLISECONDS: Final = 10_000


class NotSent(Exception):
    """No byte of the request left this process."""


class NotAnswered(Exception):
    """The request was sent, and no complete answer came."""


class Target(NamedTuple):
    """Where the API server is. `tls` is None for plain HTTP. `server_name` is what its certificate must say."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str


class Request(NamedTuple):
    """One request. `authorization` may be empty."""

    method: str
    path: str
    body: bytes = b""
    authorization: str = ""


class Answer(NamedTuple):
    """One complete answer."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Connection(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._answer: asyncio.Future[Answer] | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_data: Callable[[bytes], None] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._head_bytes = self._body_bytes = 0
        self._has_head = False
        self.idle_since = 0.0
        self.reusable = True

    # --- what asyncio calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes from the server; any that nobody asked for end the connection."""
        if self._parser is None:
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the answer is not HTTP: {error}")
        if not self._has_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._fail("the answer's headers are larger than any of the API server")

    def eof_received(self) -> None:
        """The server says no more."""
        self._fail("the server closed the connection in the middle")

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._fail(f"the connection broke: {error}" if error else "the server closed the connection")
        if not self._closed.done():
            self._closed.set_result(None)

    # --- what the parser calls ----------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """No more header lines."""
        self._has_head = True

    def on_body(self, data: bytes) -> None:
        """A part of the body. Of a refusal the whole body is wanted, even if it answers a stream."""
        if self._on_data is not None and self._parser.get_status_code() == HTTPStatus.OK:
            try:
                self._on_data(data)
            except ValueError as error:
                self._fail(f"the stream is not what it should be: {error}")
        else:
            self._body.append(data)
            self._body_bytes += len(data)
            if self._body_bytes > BODY_BYTES_MAX:
                self._fail("the answer is larger than any of the API server")

    def on_message_complete(self) -> None:
        """The answer is whole; or it was an interim one, and the answer follows."""
        if self._parser.get_status_code() < HTTPStatus.OK:
            self._headers, self._body, self._has_head = {}, [], False
            return
        self.reusable = self.reusable and self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    # --- what the pool calls ------------------------------------------------------------------------------------

    async def exchange(self, head: bytes, body: bytes, on_data: Callable[[bytes], None] | None) -> Answer:
        """Send one request and wait for its whole answer. A caller that is cancelled closes the connection."""
        if self._transport is None or self._transport.is_closing():
            raise NotSent("the connection was closed")
        self._parser = httptools.HttpResponseParser(self)
        self._answer = asyncio.get_running_loop().create_future()
        self._headers, self._body, self._on_data = {}, [], on_data
        self._head_bytes, self._body_bytes, self._has_head = 0, 0, False
        try:
            self._transport.write(head + body)
            return await self._answer
        except BaseException:
            self.abort()
            raise
        finally:
            self._parser = self._answer = self._on_data = None

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    async def closed(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.wait([self._closed], timeout=CONNECT_SECONDS)

    def _fail(self, why: str) -> None:
        self.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NotAnswered(why))


class Pool:
    """Kept connections to one server."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._slots = asyncio.Semaphore(CONCURRENT_CALLS_MAX)

    @property
    def open(self) -> int:
        """How many connections stand."""
        return len(self._open)

    async def call(self, target: Target, request: Request, seconds: float, *, urgent: bool = False) -> Answer:
        """One request and its answer. An urgent one does not queue behind others; there must be few of them.

        Raises:
            NotSent: the server could not be reached.
            NotAnswered: no complete answer within `seconds`.
        """
        async with contextlib.nullcontext() if urgent else self._slots:
            return await self._exchange(target, request, seconds, None)

    async def stream(
        self, target: Target, request: Request, seconds: float, on_data: Callable[[bytes], None]
    ) -> Answer:
        """One request whose answer is read as it comes, for at most `seconds`. Other calls need not wait for it."""
        return await self._exchange(target, request, seconds, on_data)

    async def close(self) -> None:
        """Close all connections, and wait until they are gone."""
        connections = list(self._open)
        self.forget_idle()
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.closed()

    def forget_idle(self) -> None:
        """Close what is kept: the next request connects anew."""
        while self._idle:
            self._discard(self._idle.pop())

    async def _exchange(
        self, target: Target, request: Request, seconds: float, on_data: Callable[[bytes], None] | None
    ) -> Answer:
        connection = self._kept(target) or await self._connect(target, min(CONNECT_SECONDS, seconds))
        try:
            async with asyncio.timeout(seconds):
                answer = await connection.exchange(_head(target, request, self._user_agent), request.body, on_data)
        except TimeoutError as error:
            raise NotAnswered(f"no answer within {seconds:g} s") from error
        finally:
            self._put_back(connection)
        return answer

    def _kept(self, target: Target) -> Connection | None:
        """The connection used last: it is the one most likely to stand. Those to another target are closed."""
        now = asyncio.get_running_loop().time()
        while self._idle and self._idle[0].idle_since < now - IDLE_SECONDS:
            self._discard(self._idle.pop(0))
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.target == target:
                return connection
            self._discard(connection)
        return None

    def _put_back(self, connection: Connection) -> None:
        if connection.reusable and len(self._idle) < CONCURRENT_CALLS_MAX:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        connection.abort()
        self._open.discard(connection)

    async def _connect(self, target: Target, seconds: float) -> Connection:
        loop, connection = asyncio.get_running_loop(), Connection(target)
        try:
            async with asyncio.timeout(seconds):
                transport, _ = await loop.create_connection(
                    lambda: connection,
                    target.host,
                    target.port,
                    ssl=target.tls,
                    server_hostname=target.server_name if target.tls else None,
                )
        except TimeoutError as error:
            connection.abort()
            raise NotSent(f"no connection to {target.host}:{target.port} within {seconds:g} s") from error
        except (OSError, ssl.SSLError) as error:
            raise NotSent(str(error)) from error
        except asyncio.CancelledError:
            connection.abort()  # It may stand already, and asyncio would wait until the server agrees to its end.
            raise
        _notice_silent_peers(transport.get_extra_info("socket"))
        self._open.add(connection)
        return connection


def _head(target: Target, request: Request, user_agent: str) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = [
        f"{request.method} {request.path} HTTP/1.1",
        f"Host: {host}:{target.port}",
        f"User-Agent: {user_agent}",
        "Accept: application/json",
    ]
    if request.authorization:
        lines.append(f"Authorization: {request.authorization}")
    if request.body:
        lines.append("Content-Type: application/json")
    if request.body or request.method not in {"GET", "DELETE"}:
        lines.append(f"Content-Length: {len(request.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _notice_silent_peers(sock: socket.socket) -> None:
    """Let the kernel end a connection whose other end has vanished."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_PEER_MILLISECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
