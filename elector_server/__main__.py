"""`elector`: read the settings, take the ports, serve.

Exit status: 0 after a signal to stop, 1 when a port or the identity is taken, 2 when a setting is wrong or a package
missing.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from elector_server.config import ConfigurationError, Settings, parse_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_TAKEN: Final = 1
EXIT_SETTING: Final = 2

_INSTALL: Final = "pip install 'metaparticle_sync[elector]'"
_OWN_PACKAGES: Final = ("elector_server", "metaparticle_sync")

log = logging.getLogger("elector")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The `elector` command."""
    if os.name != "posix":
        _leave(EXIT_SETTING, ["the elector runs on Linux and macOS; on Windows run it in WSL or in a container"])
    try:
        settings = parse_settings(sys.argv[1:] if argv is None else argv, os.environ)
    except ConfigurationError as error:
        _leave(EXIT_SETTING, error.messages)
    _serve(settings, _sockets(settings))


def _leave(status: int, messages: Sequence[str]) -> NoReturn:
    sys.stderr.writelines(f"elector: {message}\n" for message in messages)
    sys.exit(status)


def _sockets(settings: Settings) -> list[socket.socket]:
    """The socket of the locks and, unless it is switched off, that of health."""
    listeners = [_listener(settings.host, "--host", settings.port, "--port")]
    if settings.health_port != 0:
        host_flag = "--host" if settings.health_host == settings.host else "--health-host"
        listeners.append(_listener(settings.health_host, host_flag, settings.health_port or 0, "--health-port"))
    return listeners


def _listener(host: str, host_flag: str, port: int, port_flag: str) -> socket.socket:
    from elector_server.neighbour import who_answers  # noqa: PLC0415 - `--help` needs none of it
    from elector_server.sockets import PortTaken, Unbindable, listen  # noqa: PLC0415 - the same

    try:
        return listen(host, port, who_answers)
    except PortTaken as taken:
        _leave(EXIT_TAKEN, [f"port {port} of {host} ({port_flag}) is taken: {taken}"])
    except Unbindable as error:
        setting = f"{host_flag} is {host!r}" if error.setting == "host" else f"{port_flag} is {port!r}"
        _leave(EXIT_SETTING, [f"{setting}: {error.text}"])


def _serve(settings: Settings, sockets: list[socket.socket]) -> NoReturn:
    try:
        # Imported before the fork, so that a worker that replaces a killed one starts without delay.
        from elector_server.gunicorn_conf import ElectorApplication  # noqa: PLC0415 - `--help` needs none of it
        from elector_server.logs import configure  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OWN_PACKAGES:
            raise
        _leave(
            EXIT_SETTING, [f"the package {error.name} is missing; install the elector with its packages: {_INSTALL}"]
        )

    configure(settings.log_format)
    _raise_open_files()
    ElectorApplication(settings, sockets).run()
    sys.exit(0)


def _raise_open_files() -> None:
    """A waiter is a connection, and a connection is an open file."""
    import resource  # noqa: PLC0415 - no such module on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        log.warning("the limit of open files stays as it is: %s", error)


if __name__ == "__main__":
    main()
