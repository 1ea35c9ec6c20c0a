"""The connections of one transport: those that wait for a request, and no more at once than are allowed."""

import asyncio
import ssl
from collections import defaultdict
from functools import partial

from agent_gateway.connection import Connection
from agent_gateway.dialing import Way, dial

_IDLE_S = 15.0
"""How long a connection may wait for its next request: less than servers, and what stands between, let it."""
_CLOSE_S = 1.0


class Pool:
    """Who takes a connection puts it back. Belongs to the event loop that it is used in; in another it begins anew."""

    def __init__(self, max_connections: int, context: ssl.SSLContext | None) -> None:
        """`context` replaces the system's list of authorities."""
        self._max_connections = max_connections
        self._context = context
        self._begin(None)

    async def take(self, way: Way, where: str, wait_s: float, *, fresh: bool) -> Connection:
        """A connection by `way`, that no other request has used if it is to be `fresh`.

        Raises:
            ProviderUnavailableError: a proxy did not let us through.
            TimeoutError, OSError: there is no connection.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._begin(loop)
        if not fresh and not self._slots.locked():
            connection = self._rested(way)
            if connection is not None:
                await self._slots.acquire()  # at once: there is one
                return connection
        async with asyncio.timeout(wait_s):
            await self._slots.acquire()
            try:
                connection = None if fresh else self._rested(way)
                return connection or await self._opened(way, where)
            except BaseException:
                self._slots.release()
                raise

    def put(self, way: Way, connection: Connection) -> None:
        """Give back a connection; it is closed where its reply has not ended."""
        self._slots.release()
        if connection.rest(_IDLE_S):
            self._idle[way][connection] = None
        else:
            connection.close()

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        if asyncio.get_running_loop() is not self._loop:
            self._begin(None)  # theirs has gone, and they with it
            return
        lost = [connection.lost for connection in self._open]
        for connection in self._open:
            connection.close()
        if lost:
            await asyncio.wait(lost, timeout=_CLOSE_S)

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._slots = asyncio.Semaphore(self._max_connections)
        self._open = set[Connection]()
        self._dialing = 0
        self._idle: defaultdict[Way, dict[Connection, None]] = defaultdict(dict)

    def _rested(self, way: Way) -> Connection | None:
        """The connection that was put back last: the others may come of age and close."""
        idle = self._idle[way]
        while idle:
            connection, _ = idle.popitem()
            if connection.is_lost:
                continue
            if not connection.is_readable:
                return connection
            connection.close()
        return None

    async def _opened(self, way: Way, where: str) -> Connection:
        if len(self._open) + self._dialing >= self._max_connections:
            self._close_one_idle()
        self._dialing += 1
        try:
            connection = await dial(way, where, self._context)
        finally:
            self._dialing -= 1
        self._open.add(connection)
        connection.lost.add_done_callback(partial(self._forget, way, connection))
        return connection

    def _close_one_idle(self) -> None:
        """There is one, of another way: else all were in use, and no slot for whoever asks."""
        idle = next(filter(None, self._idle.values()), None)
        if idle is not None:
            connection = next(iter(idle))
            del idle[connection]
            connection.close()

    def _forget(self, way: Way, connection: Connection, _: "asyncio.Future[None]") -> None:
        self._open.discard(connection)
        self._idle[way].pop(connection, None)
