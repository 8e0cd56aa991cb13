"""Settings: read from flags and environment, checked together, all mistakes told at once.

Pure: it opens no file and no socket. A flag wins over its variable. Variables that Kubernetes injects for a Service
named `elector` (`ELECTOR_PORT=tcp://...`, `ELECTOR_SERVICE_HOST`, ...) look like ours and are skipped; any other
unknown `ELECTOR_...` is a mistake, because a mistyped lease would else be silently the default one.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from elector_server.durations import CLIENT_TTL_SECONDS_DEFAULT, LEASE_SECONDS_DEFAULT, Durations, broken_rules
from elector_server.options import (
    HOST_DEFAULT,
    LOG_FORMAT_DEFAULT,
    OPTIONS,
    PORT_MAX,
    STORE_DEFAULT,
    VARIABLE_PREFIX,
)
from metaparticle_sync import wire

STATE_FOLDER: Final = "metaparticle-sync"

_INJECTED_VALUE: Final = re.compile(r"(tcp|udp|sctp)://")
_INJECTED_NAME: Final = re.compile(
    r"ELECTOR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


class ConfigurationError(Exception):
    """Settings that can not be used. `messages` has one sentence for each mistake."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that this process runs in, as the downward API names it."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chose. `health_port` 0 means none, None a free one; an empty `namespace` that of the access."""

    store: str = STORE_DEFAULT
    state_dir: Path = Path()
    state_dir_is_default: bool = True
    namespace: str = ""
    pod: Pod | None = None
    host: str = HOST_DEFAULT
    port: int = wire.DEFAULT_PORT
    health_host: str = HOST_DEFAULT
    health_port: int | None = wire.DEFAULT_PORT + 1
    allowed_hosts: tuple[str, ...] = ()
    durations: Durations = field(default_factory=Durations)
    log_format: str = LOG_FORMAT_DEFAULT


@dataclass(frozen=True, slots=True)
class _Given:
    """The text of one setting, and where it stands."""

    text: str
    source: str


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        ConfigurationError: with every mistake in it.
        SystemExit: after `--help` and `--version`.
    """
    mistakes: list[str] = []
    given = _given_by_variables(environ, mistakes) | _given_by_flags(argv, mistakes)
    values = _parsed(given, mistakes)
    sources = {option.key: given[option.key].source if option.key in given else option.flag for option in OPTIONS}
    settings = _settings(values, sources, environ, mistakes)
    if mistakes or settings is None:
        raise ConfigurationError(mistakes)
    return settings


def _given_by_flags(argv: Sequence[str], mistakes: list[str]) -> dict[str, _Given]:
    try:
        found, unknown = _parser().parse_known_args(list(argv))
    except _Refused as refused:
        mistakes.append(f"{refused} (see elector --help)")
        return {}
    flags = [option.flag for option in OPTIONS]
    mistakes.extend(
        f"{word}: the elector knows no such argument{_did_you_mean(word, flags, '--')}"
        for word in _without_values(unknown)
    )
    return {
        option.key: _Given(text, option.flag)
        for option in OPTIONS
        if (text := _joined(getattr(found, option.key))) is not None
    }


def _without_values(unknown: Sequence[str]) -> list[str]:
    """The unknown words, less those that are an unknown flag's value."""
    before = ["", *unknown]
    return [word for word, last in zip(unknown, before, strict=False) if word[:1] == "-" or last[:1] != "-"]


def _joined(text: str | list[str] | None) -> str | None:
    return ",".join(text) if isinstance(text, list) else text


def _given_by_variables(environ: Mapping[str, str], mistakes: list[str]) -> dict[str, _Given]:
    known = {option.variable: option for option in OPTIONS}
    given = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(VARIABLE_PREFIX) or _is_injected(variable, text):
            continue
        if variable not in known:
            hint = _did_you_mean(variable, known, VARIABLE_PREFIX)
            mistakes.append(f"{variable}: the elector knows no such variable{hint}")
        elif text.strip():
            given[known[variable].key] = _Given(text.strip(), variable)
    return given


def _is_injected(variable: str, text: str) -> bool:
    if _INJECTED_NAME.fullmatch(variable):
        return True
    return variable.endswith("_PORT") and _INJECTED_VALUE.match(text) is not None


def _did_you_mean(word: str, known: Iterable[str], prefix: str) -> str:
    bare = word.partition("=")[0].removeprefix(prefix)
    close = difflib.get_close_matches(bare, [name.removeprefix(prefix) for name in known], n=1, cutoff=0.75)
    return f"; did you mean {prefix}{close[0]}?" if close else "; elector --help lists them"


def _parsed(given: Mapping[str, _Given], mistakes: list[str]) -> dict[str, Any]:
    values = {}
    for option in OPTIONS:
        if option.key not in given:
            continue
        text, source = given[option.key].text, given[option.key].source
        try:
            values[option.key] = option.parse(text)
        except ValueError as error:
            mistakes.append(f"{source} is {text!r}: it must be {error}")
    return values


def _settings(
    values: dict[str, Any], sources: Mapping[str, str], environ: Mapping[str, str], mistakes: list[str]
) -> Settings | None:
    store = values.get("store", STORE_DEFAULT)
    host, port = values.get("host", HOST_DEFAULT), values.get("port", wire.DEFAULT_PORT)
    health_port = _health_port(values, port, sources, mistakes)
    state_dir = values.get("state_dir") or _default_state_dir(store, environ, mistakes)
    durations = _durations(values, sources, mistakes)
    if "namespace" in values and store != "kubernetes" and not mistakes:
        # Whoever names one means the whole cluster, and must not get locks that exclude nobody else in it.
        mistakes.append(
            f"{sources['namespace']} is {values['namespace']!r}, and {store} has no namespaces: give --store kubernetes"
        )
    if mistakes or durations is None:
        return None
    return Settings(
        store=store,
        state_dir=state_dir,
        state_dir_is_default="state_dir" not in values,
        namespace=values.get("namespace") or environ.get("POD_NAMESPACE", ""),
        pod=_pod(environ),
        host=host,
        port=port,
        health_host=values.get("health_host", host),
        health_port=health_port,
        allowed_hosts=values.get("allowed_host", ()),
        durations=durations,
        log_format=values.get("log_format", LOG_FORMAT_DEFAULT),
    )


def _pod(environ: Mapping[str, str]) -> Pod | None:
    name, uid = environ.get("POD_NAME", ""), environ.get("POD_UID", "")
    return Pod(name, uid) if name and uid else None


def _health_port(values: Mapping[str, Any], port: int, sources: Mapping[str, str], mistakes: list[str]) -> int | None:
    if "health_port" not in values:
        if port == 0:
            return None
        if port == PORT_MAX:
            mistakes.append(
                f"{sources['port']} is {port}: there is no port + 1 for health; choose one with --health-port, or 0"
            )
        return port + 1
    health_port: int = values["health_port"]
    if health_port == port != 0:
        mistakes.append(f"{sources['health_port']} is {health_port}: it must differ from {sources['port']}")
    return health_port


def _default_state_dir(store: str, environ: Mapping[str, str], mistakes: list[str]) -> Path:
    base = environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):
        return Path(base) / STATE_FOLDER
    home = environ.get("HOME", "")
    if home.startswith("/"):
        return Path(home) / ".local" / "state" / STATE_FOLDER
    if store == "sqlite":
        mistakes.append("--state-dir is not given, and HOME names no folder to put it in: give --state-dir")
    return Path()


def _durations(values: Mapping[str, Any], sources: Mapping[str, str], mistakes: list[str]) -> Durations | None:
    lease_seconds = values.get("lease_seconds", LEASE_SECONDS_DEFAULT)
    client_ttl_seconds = values.get("client_ttl_seconds", CLIENT_TTL_SECONDS_DEFAULT)
    broken = broken_rules(lease_seconds, client_ttl_seconds)
    mistakes.extend(f"{sources[rule.setting]} {rule.text}" for rule in broken)
    return None if broken else Durations(lease_seconds, client_ttl_seconds)


class _Refused(Exception):
    """argparse could not make sense of the arguments."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refused(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="elector",
        description="Serve distributed locks to the applications of this machine or pod.",
        epilog="Flags win over variables. Exit status: 1 when a port is taken, 2 when a setting is wrong.",
        allow_abbrev=False,
        add_help=False,
    )
    groups = {title: parser.add_argument_group(title) for title in dict.fromkeys(option.group for option in OPTIONS)}
    for option in OPTIONS:
        groups[option.group].add_argument(
            option.flag,
            dest=option.key,
            metavar=option.metavar,
            help=f"{option.about} [{option.variable}]".replace("%", "%%"),
            action="append" if option.repeatable else "store",
        )
    other = parser.add_argument_group("other")
    other.add_argument("-h", "--help", action="help", help="show this text and exit")
    other.add_argument(
        "--version", action="version", version=f"elector {wire.VERSION}", help="show the version and exit"
    )
    return parser
