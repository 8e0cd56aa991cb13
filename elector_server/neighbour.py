"""Who is it that has our port? Asked once, by an elector that can not start."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from elector_server.resources.description import STORE_EXTENSION, TITLE
from metaparticle_sync import wire

_PATIENCE_SECONDS: Final = 1.0
_BYTES_MAX: Final = 1_000_000


def who_answers(host: str, port: int) -> str | None:
    """What serves `host` and `port`; None if nobody accepts a connection."""
    connection = HTTPConnection(host, port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", wire.OPENAPI_PATH, headers={"Host": "localhost"})
        info = json.loads(connection.getresponse().read(_BYTES_MAX))["info"]
    except ConnectionRefusedError:
        return None
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        return "it is in use by another program"
    finally:
        connection.close()
    return _described(info)


def _described(info: dict[str, Any]) -> str:
    if not isinstance(info, dict) or info.get("title") != TITLE:
        return "it is in use by another program"
    return f"an elector already runs here, version {info.get('version')}, store {info.get(STORE_EXTENSION)}"
