"""A TCP proxy, until it is killed: `python -m tests.processes.proxy_program <port> <port of the elector>`."""

from __future__ import annotations

import asyncio
import contextlib
import sys

CHUNK_BYTES = 65_536


async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def main(port: int, elector_port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", elector_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(hand_on(reader, far_writer), hand_on(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
