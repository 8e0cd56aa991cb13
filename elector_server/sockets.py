"""The listening sockets, bound before anything else starts, so that a taken port is told in one clear line.

They belong to the first process and outlive its worker: while a worker restarts, its clients wait instead of being
refused.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from typing import Final

from elector_server.guard import is_loopback_name

BACKLOG: Final = 4096
"""Thousands of waiters may come back at the same moment."""

TAKEN_PATIENCE_SECONDS: Final = 1.0
"""How long a port may stay taken by nobody who answers: a killed elector's last process needs a moment to go."""

_PAUSE_SECONDS: Final = 0.05
_LOOPBACK_OF_WILDCARD: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class PortTaken(Exception):
    """Somebody else listens there."""


class Unbindable(Exception):
    """The setting can not work: `setting` is `host` or `port`, `text` goes on after its value."""

    def __init__(self, setting: str, text: str) -> None:
        super().__init__(setting, text)
        self.setting = setting
        self.text = text


def listen(host: str, port: int, who_answers: Callable[[str, int], str | None]) -> socket.socket:
    """A socket that listens on `host` and `port`; 0 takes a free port.

    Args:
        host: address or name.
        port: 0 to 65535.
        who_answers: describes what serves a port, or returns None if nobody answers.

    Raises:
        PortTaken: with what `who_answers` says.
        Unbindable: no such address, or no right to this port.
    """
    family, address = _resolved(host, port)
    give_up_at = time.monotonic() + TAKEN_PATIENCE_SECONDS
    while True:
        try:
            return _listening(family, address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _unbindable(error, port) from error
        answer = who_answers(reachable(host), port)
        if answer is not None or time.monotonic() > give_up_at:
            raise PortTaken(answer or "it is in use by another program")
        time.sleep(_PAUSE_SECONDS)


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Unbindable("host", f"it must be an address or a name of this machine ({error.strerror})") from error
    family, _, _, _, address = found[0]
    return family, address


def _listening(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind(address)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _unbindable(error: OSError, port: int) -> Unbindable:
    if error.errno == errno.EADDRNOTAVAIL:
        return Unbindable("host", "it must be an address of this machine")
    if error.errno == errno.EACCES:
        return Unbindable("port", f"this user may not listen on port {port}; it must be 1024 or above")
    return Unbindable("host", f"nobody can listen there ({error.strerror})")


def is_wildcard(host: str) -> bool:
    """Whether `host` means every address of this machine."""
    return host in _LOOPBACK_OF_WILDCARD


def reachable(host: str) -> str:
    """Where this machine itself reaches what listens on `host`."""
    return _LOOPBACK_OF_WILDCARD.get(host, host)


def url(host: str, port: int) -> str:
    """The address as people write it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_private(host: str) -> bool:
    """Whether only programs of this machine can reach what listens on `host`."""
    return is_loopback_name(host)
