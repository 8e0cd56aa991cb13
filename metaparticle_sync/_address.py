"""Where the elector listens: the text of a user taken apart and checked, once."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from metaparticle_sync import wire

URL_VARIABLE: Final = "METAPARTICLE_SYNC_URL"


class Address(NamedTuple):
    """One elector, as its clients reach it. Equal texts of an address give equal objects."""

    url: str
    host: str
    port: int
    is_tls: bool
    path_prefix: str

    @property
    def is_loopback(self) -> bool:
        """Whether elector and client are certainly one machine, hence have one clock."""
        return self.host == "localhost" or _is_loopback_ip(self.host)

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        return _netloc(self.host, self.port)


def resolve(base_uri: str | None) -> Address:
    """The address that the user gave, or that the environment names, or the usual one.

    Raises:
        TypeError: `base_uri` is no text.
        ValueError: the text is no address of an elector; the message says where the text came from.
    """
    if base_uri is not None:
        return _parse(base_uri, "base_uri")
    from_environment = os.environ.get(URL_VARIABLE)
    if from_environment:
        return _parse(from_environment, f"the environment variable {URL_VARIABLE}")
    return _parse(wire.DEFAULT_URL, "the default")


def _parse(text: object, setting: str) -> Address:
    if not isinstance(text, str):
        raise TypeError(f"{setting} is text (str), not {type(text).__name__}")
    parts = _split(text, setting)
    host = parts.hostname or ""
    is_tls = parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    prefix = parts.path.rstrip("/")
    return Address(f"{parts.scheme}://{_netloc(host, port)}{prefix}", host, port, is_tls, prefix)


def _split(text: str, setting: str) -> SplitResult:
    wanted = f"{setting} is {text!r}: it must look like {wire.DEFAULT_URL}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{wanted} ({error})") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError(wanted)
    if parts.query or parts.fragment or "@" in parts.netloc or not text.isascii() or any(c.isspace() for c in text):
        raise ValueError(f"{wanted}, without user, query, fragment or blanks")
    return parts


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback_ip(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
