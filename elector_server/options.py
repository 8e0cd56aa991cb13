"""Every setting of the elector: its flag, its variable, what it says in `--help`, and which texts it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from elector_server.durations import CLIENT_TTL_SECONDS_DEFAULT, LEASE_SECONDS_DEFAULT
from metaparticle_sync import wire

STORES: Final = ("memory", "sqlite", "kubernetes")
STORE_DEFAULT: Final = "sqlite"
LOG_FORMATS: Final = ("text", "json")
LOG_FORMAT_DEFAULT: Final = "text"
HOST_DEFAULT: Final = "127.0.0.1"
PORT_MAX: Final = 65535

VARIABLE_PREFIX: Final = "ELECTOR_"

_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Option(Generic[Value]):
    """One setting. `parse` turns its text into a value or raises ValueError with what would be right."""

    name: str
    group: str
    metavar: str
    about: str
    parse: Callable[[str], Value]
    repeatable: bool = False

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return VARIABLE_PREFIX + self.name.upper().replace("-", "_")

    @property
    def key(self) -> str:
        """Its name in code."""
        return self.name.replace("-", "_")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(", ".join(choices[:-1]) + " or " + choices[-1])
        return text

    return parse


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= PORT_MAX):
        raise ValueError(f"a port number from 0 to {PORT_MAX}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number of seconds, such as 20") from None


def _folder(text: str) -> Path:
    if "\0" in text:
        raise ValueError("the path of a folder")
    return Path(text).expanduser().absolute()


def _namespace(text: str) -> str:
    if not _NAMESPACE.fullmatch(text):
        raise ValueError("the name of a namespace: at most 63 characters a-z, 0-9 and '-'")
    return text


def _host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not (_is_address(bare) or _HOST_NAME.fullmatch(bare)):
        raise ValueError("an address or a host name without scheme and port, such as 127.0.0.1")
    return bare.lower()


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(_host(part.strip()) for part in text.split(",") if part.strip())


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


OPTIONS: Final[tuple[Option[Any], ...]] = (
    Option("store", "store", "KIND", f"memory, sqlite or kubernetes (default: {STORE_DEFAULT})", _one_of(*STORES)),
    Option(
        "state-dir",
        "store",
        "FOLDER",
        "where the SQLite file is (default: $XDG_STATE_HOME or ~/.local/state, and in it metaparticle-sync)",
        _folder,
    ),
    Option(
        "namespace",
        "store",
        "NAME",
        "where the records are in Kubernetes (default: $POD_NAMESPACE, else that of the service account or kubeconfig)",
        _namespace,
    ),
    Option("host", "address", "HOST", f"address to listen on (default: {HOST_DEFAULT})", _host),
    Option("port", "address", "PORT", f"port of the locks; 0 takes a free one (default: {wire.DEFAULT_PORT})", _port),
    Option("health-host", "address", "HOST", "address to listen on for health (default: that of the locks)", _host),
    Option(
        "health-port",
        "address",
        "PORT",
        "port of /healthz, /readyz and /metrics; 0 for none (default: port + 1)",
        _port,
    ),
    Option(
        "allowed-host",
        "address",
        "NAME",
        "host name besides localhost by which clients may call; repeatable, comma separated in the variable",
        _hosts,
        repeatable=True,
    ),
    Option(
        "lease-seconds",
        "durations",
        "SECONDS",
        "after how long without a sign of life other electors may take this one's locks;"
        f" 4 to 3600 (default: {LEASE_SECONDS_DEFAULT:g})",
        _seconds,
    ),
    Option(
        "client-ttl-seconds",
        "durations",
        "SECONDS",
        "after how long without a heartbeat a process loses its locks;"
        f" 2 to 3600 (default: {CLIENT_TTL_SECONDS_DEFAULT:g})",
        _seconds,
    ),
    Option(
        "log-format", "log", "FORMAT", f"text or json, on stderr (default: {LOG_FORMAT_DEFAULT})", _one_of(*LOG_FORMATS)
    ),
)
