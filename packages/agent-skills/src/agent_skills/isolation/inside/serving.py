"""What a worker process does: JSON lines on one descriptor, one call at a time.

The first line orders what rights to give up (`confinement`) and where to import from; nothing of a plugin is loaded
before. Then each line is a call and is answered by lines of progress and one last line. It owns no policy: who may
call what was decided by the host, and what a confined worker says is believed of its own plugin alone.
"""

from __future__ import annotations

import os
import sys

wire_json = __import__("wire_json")  # beside this file, which is no package in there

TYPE_CHECKING = False  # `typing` would cost each start some milliseconds
if TYPE_CHECKING:
    from typing import Any

    Order = dict[str, Any]

_FAILURES = {"InvalidArgumentsError", "SkillFailedError", "UnreadableResultError", "PluginRefusedError"}
"""Errors of agent_skills that mean something to the host; of any other it learns the type."""

_DESCRIPTORS = 4_096
"""Further than any descriptor that a host hands on by mistake."""


class Wire:
    """The descriptor: a line in, a line out."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._lines = open(descriptor, "rb", closefd=False)  # noqa: SIM115 - as long as the process

    def read(self) -> Order | None:
        """The next order; None: the host is gone."""
        line = self._lines.readline()
        return wire_json.loads(line) if line.endswith(b"\n") else None

    def write(self, answer: Order) -> None:
        """Send one line whole."""
        data = memoryview(wire_json.dumps(answer).encode() + b"\n")
        while data:
            data = data[os.write(self._descriptor, data) :]


class Finder:
    """Finds the modules that it was told of, without looking at what stands beside them."""

    def __init__(self, places: dict[str, str]) -> None:
        self._places = places

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:  # noqa: ARG002 - the protocol
        """The module's spec, as `sys.meta_path` asks for it."""
        if name not in self._places:
            return None
        from importlib.util import spec_from_file_location  # noqa: PLC0415 - only who has such modules pays for it

        place = self._places[name]
        if place.endswith(".py"):
            return spec_from_file_location(name, place)
        return spec_from_file_location(name, f"{place}/__init__.py", submodule_search_locations=[place])


def serve(descriptor: int) -> None:
    """Obey until the host is gone."""
    wire = Wire(descriptor)
    order = wire.read()
    if order is None:
        return
    try:
        _prepare(order, descriptor)
    except BaseException as error:
        wire.write({"error": _described(error)})
        raise
    if order["listen"]:
        _hand_over(descriptor, order["listen"])
    wire.write({"ok": os.getpid()})
    while (call := wire.read()) is not None:
        try:
            answer = {"ok": _answer(call, wire)}
        except BaseException as error:  # noqa: BLE001 - a skill may raise anything, and it is the host's to judge
            answer = {"error": _described(error)}
        try:
            wire.write(answer)
        except (TypeError, ValueError, RecursionError):
            kind = type(answer.get("ok")).__name__
            wire.write({"error": {"kind": "UnreadableResultError", "message": f"a {kind} is no JSON"}})


def _prepare(order: Order, keep: int) -> None:
    os.closerange(3, keep)  # what bubblewrap left open
    os.closerange(keep + 1, _DESCRIPTORS)
    if order["starts"]:
        __import__("kernel").end_group_after(_DESCRIPTORS)  # before it may kill nobody any more
    if order["confine"] is not None:
        confinement = __import__("confinement")  # level 1 has none

        confinement.confine(order["confine"])
    if order["parent"]:
        kernel = __import__("kernel")  # bubblewrap does this itself

        kernel.die_with_parent(order["parent"])  # a change of user would take it back
    sys.path.remove(__file__.rpartition("/")[0])  # what is on the path from here on is the plugin's
    if order["folder"]:
        os.chdir(order["folder"])
    sys.path += order["path"]
    if order["modules"]:
        sys.meta_path.append(Finder(order["modules"]))  # type: ignore[arg-type] # finders are duck-typed


def _hand_over(descriptor: int, port: int) -> None:
    """Listen in the sandbox's own network, and give the socket to the host: it is the host that answers there."""
    import socket  # noqa: PLC0415 - only who may reach hosts pays for it

    with (
        socket.create_server(("127.0.0.1", port), backlog=64) as listener,
        socket.socket(fileno=os.dup(descriptor)) as host,
    ):
        socket.send_fds(host, [b'{"progress":"listening"}\n'], [listener.fileno()])


def _answer(call: Order, wire: Wire) -> object:
    if "function" in call:
        module, _, name = call["function"].partition(":")
        function = getattr(__import__(module, fromlist=[name]), name)
        return function(**call["arguments"])
    if "become" in call:
        _become(call["become"], call["environment"])
        return None
    from agent_skills.isolation import hosting  # noqa: PLC0415 - what needs no plugin starts without it

    if "warm" in call:
        hosting.resolve(call["warm"])  # so that no call's deadline runs meanwhile
        return None
    if "plugin" in call:
        return hosting.load(call["plugin"], call["target"])
    return hosting.call(call, lambda progress: wire.write({"progress": progress}))


def _become(argv: list[str], environment: dict[str, str]) -> None:
    """Become a program; the host sees that it worked by the end of this process's descriptor."""
    import signal  # noqa: PLC0415 - only who becomes a program pays for it

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - the point


def _described(error: BaseException) -> dict[str, object]:
    names = [kind.__name__ for kind in type(error).__mro__]
    kind = next((name for name in names if name in _FAILURES), "")
    described: dict[str, object] = {"kind": kind, "type": names[0], "message": str(error)[:100_000]}
    for field in ("path", "reason", "code", "may_pass", "type_name"):
        if kind and isinstance(value := getattr(error, field, None), str | bool):
            described[field] = value
    if not kind:
        import traceback  # noqa: PLC0415 - only who fails pays for it

        described["trace"] = "".join(traceback.format_exception(error))[-4_000:]
    return described
