"""Where the daemon listens, and the socket that systemd hands over."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent_api.errors import OpenBindError, SettingsError
from agent_api.listening import listening
from agent_api.settings import Settings

HANDED = """
import os, sys

descriptor, count, pid = sys.argv[1:]
os.dup2(int(descriptor), 3)
os.environ |= {"LISTEN_PID": pid or str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": "a"}

from agent_api.errors import ApiError
from agent_api.listening import listening
from agent_api.settings import Settings

try:
    with listening(Settings(port=0)) as (listener, address):
        left = [name for name in os.environ if name.startswith("LISTEN_")]
        print(address, os.get_inheritable(listener.fileno()), left)
        if not pid:
            print(listener.accept()[0].recv(10).decode())
except ApiError as error:
    print(error)
"""


def begin(listener, *, count=1, pid=""):
    """A process to which a descriptor is handed as systemd does; `pid`: the process that it is meant for, if another."""
    descriptor = listener.fileno()
    command = [sys.executable, "-c", HANDED, str(descriptor), str(count), pid]
    return subprocess.Popen(command, pass_fds=[descriptor], stdout=subprocess.PIPE, text=True)


def said_of(process):
    assert process.stdout is not None
    return process.communicate(timeout=60)[0].splitlines()


def test_a_socket_that_systemd_listens_on_is_taken_over():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = begin(listener)
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"hello")
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            assert said_of(process) == [f"{address} False []", "hello"]


def test_a_unix_socket_is_taken_over_and_left_where_it_is(tmp_path):
    path = str(tmp_path / "agentd.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        process = begin(listener)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"hello")
            assert said_of(process) == [f"unix:{path} False []", "hello"]
    assert Path(path).exists()


def test_what_systemd_hands_over_is_refused_where_others_reach_it_or_nobody_does():
    with socket.create_server(("0.0.0.0", 0)) as listener:
        assert "refusing to listen on '0.0.0.0'" in said_of(begin(listener))[0]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "hands over 2 sockets" in said_of(begin(listener, count=2))[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        assert "ListenStream=" in said_of(begin(listener))[0]
    with Path(os.devnull).open() as file:
        assert "is no socket" in said_of(begin(file))[0]


def test_what_is_meant_for_another_process_is_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (said,) = said_of(begin(listener, pid="1"))
        assert said.startswith("http://127.0.0.1:")
        assert f":{listener.getsockname()[1]} " not in said


def test_an_address_that_others_reach_or_that_is_taken_is_refused():
    with pytest.raises(OpenBindError), listening(Settings(host="0.0.0.0")):
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(port=taken.getsockname()[1])
        with pytest.raises(SettingsError, match="choose another with --port"), listening(settings):
            pass
