"""What a fake elector can do instead of answering."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from tests.client.fake_elector import BOUND_SECONDS, Handler


def drop(handler: Handler) -> None:
    """End the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang(handler: Handler) -> None:
    """Never answer, until the elector is killed or healed, or the client goes away."""
    handler.close_connection = True
    handler.connection.settimeout(BOUND_SECONDS)
    try:
        while handler.connection.recv(1, socket.MSG_PEEK):
            with handler.server.fake.changed:
                handler.server.fake.changed.wait(0.01)
            if handler.server.is_dead:
                return
    except OSError:
        return


def says(status: int, body: Any, content_type: str = "application/json") -> Callable[[Handler], None]:
    """Answer this, whatever it is."""
    return lambda handler: handler.answer(status, body, content_type)


def refuses(status: int, code: str) -> Callable[[Handler], None]:
    """Answer with a problem."""
    return lambda handler: handler.problem(status, code)


def truncates(handler: Handler) -> None:
    """Send half an answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "200")
    handler.end_headers()
    handler.wfile.write(b'{"name": "x", "sta')
    handler.wfile.flush()
    drop(handler)


def trickles(handler: Handler) -> None:
    """Send the head of an answer, and then one byte after the other, without end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        while not handler.server.is_dead:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            with handler.server.fake.changed:
                handler.server.fake.changed.wait(0.05)
    except OSError:
        handler.close_connection = True
