"""Kept connections to one elector: one per request at a time, each request sent in one piece.

This stands below `requests` in place of urllib3's pool, for three reasons. A lock's whole cost is two requests, and
this is as cheap as bare `http.client`. A timeout here bounds the whole answer, not each piece of it. And a forked child
can close its copies of the parent's sockets, which matters, because the end of a socket says that a process died.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from metaparticle_sync._address import Address

if TYPE_CHECKING:
    import ssl

_IDLE_MAX = 1000
"""How many unused connections are kept. One is in use for each thread that waits for a lock."""

_DRAINED_BYTES = 65536

_STALE_SECONDS = 0.25
"""A kept connection that its peer had ended fails at once, not later. Every request may be repeated."""

_alive: weakref.WeakSet[Connection] = weakref.WeakSet()
_creating = threading.RLock()
"""Held while a socket is made but not yet known to its `Connection`, and by whoever forks."""


class _TimedSocket(socket.socket):
    """A socket whose timeout counts from `settimeout` for all that is received since then."""

    _receive_until: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._receive_until = None if value is None else time.monotonic() + value
        super().settimeout(value)

    def recv_into(self, *args: Any) -> int:
        until = self._receive_until
        if until is not None and self.gettimeout() != 0:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            super().settimeout(left)
        return super().recv_into(*args)


class Connection:
    """One connection, and the answer that comes over it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._is_severed = False
        self.socket: socket.socket | None = None
        _alive.add(self)

    def exchange(self, method: str, request: bytes, timeout: float) -> HTTPResponse:
        """Send one request and read the head of its answer; `timeout` bounds the reading of the whole answer, too.

        Raises:
            OSError, http.client.HTTPException: the exchange failed; this connection is closed.
        """
        try:
            connected = self.socket or self._connect(timeout)
            self._check_severed()
            connected.settimeout(timeout)
            connected.sendall(request)
            response = HTTPResponse(connected, method=method)
        except BaseException:
            self.close()
            raise
        with self.closing_on_error(response):
            response.begin()
        return response

    @contextmanager
    def closing_on_error(self, response: HTTPResponse) -> Iterator[None]:
        """Close this connection and its answer if anything goes wrong meanwhile."""
        try:
            yield
        except BaseException:
            response.close()
            self.close()
            raise

    def is_stale(self) -> bool:
        """Whether the peer ended this connection while it was not in use."""
        if self.socket is None or self._address.is_tls:
            return False
        try:
            self.socket.settimeout(0.0)
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def has_ended(self) -> bool:
        """Whether the peer ended this connection; what it sent before is thrown away."""
        if self.socket is None:
            return True
        try:
            self.socket.settimeout(0.0)
            while self.socket.recv(_DRAINED_BYTES):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def sever(self) -> None:
        """End whatever another thread is waiting for on this connection."""
        self._is_severed = True
        try:
            if self.socket is not None:
                self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _check_severed(self) -> None:
        """It may have been severed before it stood, when there was nothing to end yet."""
        if self._is_severed:
            raise ConnectionAbortedError("nobody waits for the answer any more")

    def is_severed(self) -> bool:
        """Whether `sever` ended it."""
        return self._is_severed

    def close(self) -> None:
        """Close the connection."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def __del__(self) -> None:
        self.close()  # An interrupt may come between two lines, and leave it to nobody.

    def abandon(self) -> None:
        """In a forked child: close this copy, and nothing else."""
        if self.socket is not None and self.socket.fileno() >= 0:
            os.close(self.socket.detach())
        self.socket = None

    def _connect(self, timeout: float) -> socket.socket:
        error: OSError = OSError(f"{self._address.host} has no address")
        until = time.monotonic() + timeout
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._address.host, self._address.port, type=socket.SOCK_STREAM
        ):
            with _creating:
                fresh = self.socket = _TimedSocket(family, kind, protocol)
            try:
                fresh.settimeout(max(0.001, until - time.monotonic()))
                fresh.connect(address)
                fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self._with_tls(fresh) if self._address.is_tls else fresh
            except OSError as failure:
                self.close()
                error = failure
        raise error

    def _with_tls(self, plain: socket.socket) -> socket.socket:
        with _creating:
            self.socket = _tls_context().wrap_socket(
                plain, server_hostname=self._address.host, do_handshake_on_connect=False
            )
        self.socket.do_handshake()
        return self.socket


@cache
def _tls_context() -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 -- slow, and electors are on loopback almost always

    return ssl.create_default_context()


class Connections:
    """The connections to one elector. `urlopen` is what an adapter of `requests` calls."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: deque[Connection] = deque()
        self._request_end = f" HTTP/1.1\r\nHost: {address.host_header}\r\n"
        self._of_thread = threading.local()
        _watch_forks()

    def urlopen(
        self, *, method: str, url: str, body: bytes | None, headers: dict[str, str], timeout: Any, **_: object
    ) -> HTTPResponse:
        """Send one request. What it returns is to be read by `read`, or kept as a stream."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        request = f"{method} {url}{self._request_end}{lines}\r\n".encode("latin-1")
        return self._exchange(method, request if body is None else request + body, timeout.read_timeout)

    def _exchange(self, method: str, request: bytes, timeout: float) -> HTTPResponse:
        """Send it; if a kept connection turns out to be at its end, once more over a fresh one."""
        connection = self._take()
        was_kept = connection.socket is not None
        until = time.monotonic() + timeout
        try:
            response = connection.exchange(method, request, timeout)
        except ConnectionError:
            if not was_kept or connection.is_severed() or until - time.monotonic() < timeout - _STALE_SECONDS:
                raise
            connection = self._noted(Connection(self._address))
            response = connection.exchange(method, request, until - time.monotonic())
        response.connection = connection  # type: ignore[attr-defined]
        return response

    def read(self, response: HTTPResponse) -> bytes:
        """Read the body, after which the connection can be used again."""
        connection: Connection = response.connection  # type: ignore[attr-defined]
        with connection.closing_on_error(response):
            body = response.read()
        if response.will_close or len(self._idle) >= _IDLE_MAX:
            connection.close()
        else:
            self._idle.append(connection)
        return body

    def watch_requests(self, taken: deque[Connection] | None) -> None:
        """From now on, note each connection that a request of this thread uses in `taken`."""
        self._of_thread.taken = taken

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = Connection(self._address)
            if not connection.is_stale():
                return self._noted(connection)
            connection.close()

    def _noted(self, connection: Connection) -> Connection:
        taken = getattr(self._of_thread, "taken", None)
        if taken is not None:
            taken.append(connection)
        return connection


@cache
def _watch_forks() -> None:
    """From the first connection on: no fork in the moment when a socket is made, and no copies in the child."""
    os.register_at_fork(before=_begin_fork, after_in_parent=_end_fork, after_in_child=_close_copies)


def _begin_fork() -> None:
    _creating.acquire()


def _end_fork() -> None:
    _creating.release()


def _close_copies() -> None:
    """In a forked child, close what is our parent's: else nobody would notice the end of the parent."""
    global _creating, _alive  # noqa: PLW0603
    _creating = threading.RLock()
    parents, _alive = list(_alive), weakref.WeakSet()
    for connection in parents:
        connection.abandon()
