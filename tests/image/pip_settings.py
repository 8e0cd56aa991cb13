"""How pip reaches its index on this machine, as files that a build can be given and that stay out of the image."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_CERTIFICATES_INSIDE: Final = "/run/secrets/certificates"
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
_VARIABLES: Final = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
# Paths of this machine, and what decides where pip installs, mean nothing inside of the build.
_LEFT_OUT: Final = (
    "cert",
    "client-cert",
    "find-links",
    "cache-dir",
    "log",
    "target",
    "prefix",
    "root",
    "user",
    "python",
)


def write(folder: Path) -> dict[str, Path]:
    """Write the secrets of the build into `folder`: which file has which."""
    certificates = next((Path(value) for name in _VARIABLES if (value := os.environ.get(name))), Path(_CERTIFICATES))
    settings = {key: value for key, value in _configured().items() if key not in _LEFT_OUT}
    if certificates.is_file():
        settings["cert"] = _CERTIFICATES_INSIDE
    file = folder / "pip.conf"
    file.touch(mode=0o600)  # It may have a password of the index in it.
    file.write_text("[global]\n" + "".join(f"{key} = {_indented(value)}\n" for key, value in settings.items()))
    return {"pip": file} | ({"certificates": certificates} if certificates.is_file() else {})


def _configured() -> dict[str, str]:
    """What pip takes from its files and from the environment; of two values the one that counts for an install."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {}
    for section in ("global.", "install.", ":env:."):
        for line in lines:
            if line.startswith(section):
                key, _, value = line.removeprefix(section).partition("=")
                found[key] = str(ast.literal_eval(value))
    return found


def _indented(value: str) -> str:
    return value.strip().replace("\n", "\n    ")
