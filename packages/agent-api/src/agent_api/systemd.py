"""What systemd wants to hear (sd_notify(3)), over the standard library: one datagram to the socket it names."""

import os
import socket


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
