"""What systemd wants to hear (sd_notify(3)), and the socket that it hands over (sd_listen_fds(3)), over the standard library."""

import os
import socket

from agent_api.errors import SettingsError

_FIRST_FD = 3


def notify(message: str) -> bool:
    """Send `READY=1`, `STOPPING=1` or `STATUS=...` to the service manager; False where none is listening."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(address)
            channel.sendall(message.encode())
        except OSError:  # a manager that went away must not take the daemon along
            return False
    return True


def handed_over() -> socket.socket | None:
    """The socket that systemd listens on for this process; None: there is none. What it is told by is taken out of the environment.

    Raises:
        SettingsError: there are several, or it is no socket.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "0")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count == "0":
        return None
    if count != "1":
        raise SettingsError(
            f"systemd hands over {count} sockets, and agentd listens on one: leave one ListenStream= in agentd.socket"
        )
    try:
        os.set_inheritable(_FIRST_FD, False)
        return socket.socket(fileno=_FIRST_FD)
    except OSError as error:
        raise SettingsError(
            f"descriptor {_FIRST_FD}, which systemd hands over, is no socket: {error.strerror}"
        ) from error
