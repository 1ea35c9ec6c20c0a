"""Counts tokens over the socket of llama.cpp's server: its wheel has no call for that."""

import contextlib
import http.client
import socket
from pathlib import Path

import msgspec


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Tokens(msgspec.Struct):
    tokens: list[int]


def count_tokens(path: Path, text: str) -> int:
    """The number of tokens of `text`, from the server at the socket `path`. Blocking."""
    connection = _SocketConnection(path)
    with contextlib.closing(connection):
        body = msgspec.json.encode({"content": text, "add_special": False})
        connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
        return len(msgspec.json.decode(connection.getresponse().read(), type=_Tokens).tokens)
