"""How the daemon logs: one line a record, on standard error, without secrets. Everything else calls the standard library's `logging`.

On a terminal the lines are text; else each is a JSON object, with what is bound around it: the id of the request, of the run,
the tenant. Under systemd a line begins with its priority (sd-daemon(3)), which the journal takes off again.
"""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Literal, TextIO, TypeAlias

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from agent_api.errors import SettingsError

Format: TypeAlias = Literal["auto", "json", "text"]

HIDDEN = "[hidden]"
LEVELS = ("debug", "info", "warning", "error")
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_SECRETS = (
    (re.compile(r"\b(ag_[0-9a-f]{12}_)[\w-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\bwhsec_[\w+/=-]{8,}"), f"whsec_{HIDDEN}"),
    (re.compile(r"\b(bearer|basic)(\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1\2{HIDDEN}"),
    (re.compile(r"\bsk-[\w-]{8,}"), f"sk-{HIDDEN}"),
    (re.compile(r"(://[^/\s:@\"]*:)[^/\s@\"]+@"), rf"\1{HIDDEN}@"),
)
_MIN_SECRET_CHARS = 6
"""A shorter one would hide words that are none."""


def hide_secrets(text: str, known: Iterable[str] = ()) -> str:
    """The text without whatever looks like a key, a secret or a password, and without those that are `known`."""
    for secret in known:
        text = text.replace(secret, HIDDEN)
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def set_up_logs(
    *, level: str = "info", form: Format = "auto", secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Send every record of this process to `stream` (standard error), in the place of what was set up before.

    Args:
        level: The least that is written: one of `LEVELS`.
        form: `auto` is text on a terminal, JSON elsewhere.
        secrets: Values that must never be seen, such as the key of a provider.
        stream: Where to.

    Raises:
        SettingsError: there is no such level.
    """
    if level not in LEVELS:
        raise SettingsError(f"setting 'log_level': {level!r} is none of {', '.join(LEVELS)}")
    where = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and where.isatty())
    handler = logging.StreamHandler(where)
    handler.setFormatter(_formatter(as_text=as_text, secrets=secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore"):  # a line a request, and headers below that
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _formatter(*, as_text: bool, secrets: Iterable[str]) -> logging.Formatter:
    known = tuple(one for one in secrets if len(one) >= _MIN_SECRET_CHARS)
    render = _as_text() if as_text else _as_json(with_priority=bool(os.environ.get("JOURNAL_STREAM")))

    def shown(logger: WrappedLogger, name: str, event: EventDict) -> str:
        return hide_secrets(render(logger, name, event), known)

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, shown],
    )


def _as_text() -> Callable[[WrappedLogger, str, EventDict], str]:
    return structlog.dev.ConsoleRenderer(
        colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
    )


def _as_json(*, with_priority: bool) -> Callable[[WrappedLogger, str, EventDict], str]:
    with_exception = structlog.processors.ExceptionRenderer()

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        fields = with_exception(logger, name, event)
        ordered = {key: fields.pop(key) for key in ("timestamp", "level", "event") if key in fields}
        line = msgspec.json.encode({**ordered, **fields}, enc_hook=repr).decode()
        return f"<{_PRIORITIES.get(str(ordered.get('level')), 6)}>{line}" if with_priority else line

    return render
