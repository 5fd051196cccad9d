"""A TCP proxy that stands for a distance: every byte arrives half a round trip later, each way."""

from __future__ import annotations

import asyncio
import socket
import sys


class _Pipe(asyncio.Protocol):
    """One direction of a connection: what comes in goes out at the other side, later."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.other: asyncio.Transport | None = None
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (for the type checker)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self.delay_s, self._pass_on, data)

    def connection_lost(self, error: Exception | None) -> None:
        asyncio.get_running_loop().call_later(self.delay_s, self._close)

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            self.waiting.append(data)
        else:
            self.other.write(data)

    def _close(self) -> None:
        if self.other is not None:
            self.other.close()

    def joined(self, other: asyncio.Transport) -> None:
        self.other = other
        other.writelines(self.waiting)


class _Client(_Pipe):
    """The side of the client; the server is connected to as soon as a client comes."""

    def __init__(self, port: int, delay_s: float) -> None:
        super().__init__(delay_s)
        self.port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        back = _Pipe(self.delay_s)
        server, _ = await asyncio.get_running_loop().create_connection(lambda: back, "127.0.0.1", self.port)
        back.joined(self.transport)
        self.joined(server)


async def main(port: str, round_trip_s: str) -> None:
    """Listen on a free port of 127.0.0.1, which is printed, for a server on the given one."""
    loop = asyncio.get_running_loop()
    delay_s = float(round_trip_s) / 2
    server = await loop.create_server(lambda: _Client(int(port), delay_s), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
