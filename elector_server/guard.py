"""Who may call: programs of this machine, and no web page.

A page in a browser can send requests to loopback too. It can not choose its `Origin`, nor, after rebinding its own name
to 127.0.0.1, its `Host`; so both are looked at before anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from elector_server.problems import CrossOrigin, WrongHost

Headers = Iterable[tuple[bytes, bytes]]

_SAME_SITES: Final = frozenset({b"none", b"same-origin"})
_REMEMBERED_MAX: Final = 256


class Guard:
    """Checks the headers of one request after the other. `allowed_hosts` may call besides loopback names."""

    def __init__(self, allowed_hosts: Iterable[str] = ()) -> None:
        self._allowed = frozenset(host.lower().rstrip(".") for host in allowed_hosts)
        self._good_hosts: set[bytes] = set()

    def check(self, headers: Headers) -> None:
        """Let the request pass.

        Raises:
            CrossOrigin: it comes from a web page.
            WrongHost: it was sent to another machine's name.
        """
        hosts = 0
        for name, value in headers:
            if name == b"host":
                hosts += 1
                if hosts > 1 or (value not in self._good_hosts and not self._is_good(value)):
                    raise WrongHost(_shown(value))
            elif name == b"origin" or (name == b"sec-fetch-site" and value not in _SAME_SITES):
                raise CrossOrigin(name.decode(), _shown(value))

    def _is_good(self, value: bytes) -> bool:
        host = host_of(value)
        good = host is not None and (host in self._allowed or is_loopback_name(host))
        if good and len(self._good_hosts) < _REMEMBERED_MAX:
            self._good_hosts.add(value)
        return good


class OriginGuard(Guard):
    """For the health port: the kubelet and Prometheus call by whatever address the pod has."""

    def _is_good(self, _value: bytes) -> bool:
        return True


def host_of(value: bytes) -> str | None:
    """The host in a Host header, without port and brackets; None if it is none."""
    try:
        text = value.decode("ascii").lower()
    except UnicodeDecodeError:
        return None
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        return host if bracket and (not port or _is_port(port)) else None
    host, colon, port = text.partition(":")
    return host.removesuffix(".") if not colon or _is_port(colon + port) else None


def is_loopback_name(host: str) -> bool:
    """Whether `host` names this machine itself: localhost, 127.0.0.0/8, ::1."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_port(text: str) -> bool:
    return text[:1] == ":" and text[1:].isascii() and text[1:].isdigit()


def _shown(value: bytes) -> str:
    return value[:200].decode("ascii", "backslashreplace")
