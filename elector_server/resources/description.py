"""`/openapi.json`: the description of everything that is served, and which elector serves it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from elector_server.resources.rendering import to_bytes
from metaparticle_sync import wire

if TYPE_CHECKING:
    from falcon.asgi import Request, Response

STORE_EXTENSION: Final = "x-elector-store"
TITLE: Final = "metaparticle_sync elector"


class DescriptionResource:
    """The OpenAPI document, read at the first request. `store_text` is for people and for a second elector's start."""

    def __init__(self, store_text: str) -> None:
        self._store_text = store_text
        self._body: bytes | None = None

    async def on_get(self, _req: Request, resp: Response) -> None:
        """Send it."""
        if self._body is None:
            self._body = to_bytes(description(self._store_text))
        resp.data = self._body


def description(store_text: str) -> dict[str, Any]:
    """The document, with this elector's version and store in it."""
    document: dict[str, Any] = json.loads(files("elector_server").joinpath("openapi.json").read_bytes())
    document["info"] |= {"version": wire.VERSION, STORE_EXTENSION: store_text}
    return document
