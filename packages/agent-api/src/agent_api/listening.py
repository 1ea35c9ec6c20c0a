"""The socket that the daemon listens on: its own, by address or path, or one that systemd hands over. Loopback and unix sockets alone."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent_api.errors import OpenBindError, SettingsError
from agent_api.settings import Settings
from agent_api.settings_checks import is_loopback
from agent_api.systemd import handed_over

_INET = (socket.AF_INET, socket.AF_INET6)


@contextmanager
def listening(settings: Settings) -> Generator[tuple[socket.socket, str]]:
    """A bound socket and its address in words. One that systemd hands over goes before the settings.

    Raises:
        OpenBindError: the address is not loopback.
        SettingsError: it cannot be listened on.
    """
    given = handed_over()
    if given is not None:
        with given:
            yield given, _checked(given)
        return
    if settings.uds:
        with _unix_socket(Path(settings.uds)) as listener:
            yield listener, f"unix:{settings.uds}"
        return
    if not is_loopback(settings.host):
        raise OpenBindError(settings.host)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another with --port"
        ) from error
    with listener:
        yield listener, _address(settings.host, listener)


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if listener.family is socket.AF_INET6 else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def _checked(given: socket.socket) -> str:
    """The address in words of a socket that was handed over."""
    is_listening = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not is_listening or given.type is not socket.SOCK_STREAM:
        raise SettingsError(
            "the socket that systemd hands over is none that connections come in on: use ListenStream= and Accept=no"
        )
    if given.family not in _INET:
        return f"unix:{given.getsockname()}"
    host = given.getsockname()[0]
    if not is_loopback(host):
        raise OpenBindError(host)
    return _address(host, given)


@contextmanager
def _unix_socket(path: Path) -> Generator[socket.socket]:
    """A unix socket that its owner and group alone may use."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            if path.is_socket():
                path.unlink()
            listener.bind(str(path))
            path.chmod(0o660)
        except OSError as error:
            raise SettingsError(f"cannot listen on the unix socket {path}: {error.strerror}") from error
        listener.listen()
        yield listener
        path.unlink(missing_ok=True)
