"""What the daemon holds beside its tenants: keys, spending, the audit log. Opened once, closed in the reverse order."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import msgspec

from agent_api.access.audit import AuditLog
from agent_api.access.console import ConsoleSessions
from agent_api.access.idempotency import Replies
from agent_api.access.keys import KeyStore
from agent_api.access.metering import Meter
from agent_api.access.spending import SpendingBook
from agent_api.composition import Machine
from agent_api.metrics import Metrics
from agent_api.operations import Access
from agent_api.settings import Settings
from agent_api.tenants import Tenants


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that routes may ask for."""

    tenants: Tenants
    keys: KeyStore
    book: SpendingBook
    audit: AuditLog
    replies: Replies
    console: ConsoleSessions
    metrics: Metrics
    settings: Settings = Settings()
    first_key: str = ""
    """The admin key, where this start made the first one: to be shown once."""


def access_folder(data_path: Path) -> Path:
    """Where keys, spending and the audit log are kept."""
    return data_path / "access"


@asynccontextmanager
async def open_daemon(machine: Machine) -> AsyncGenerator[Daemon]:
    """The daemon over one machine, its tenants open and their unfinished runs under way.

    Raises:
        SettingsError: its files cannot be opened.
    """
    folder = access_folder(machine.settings.data_path())
    with (
        closing(KeyStore(folder)) as keys,
        closing(SpendingBook(folder)) as book,
        closing(AuditLog(folder, secret=keys.secret_for("audit"))) as audit,
        closing(Replies(folder)) as replies,
        closing(ConsoleSessions(folder, keys, origin=machine.settings.origin)) as console,
    ):
        metrics = Metrics()
        tenants = Tenants(
            machine, Access(keys=keys, book=book, audit=audit), observers=(Meter(book), metrics)
        )
        first_key = keys.create(now=time.time(), name="admin")[1] if keys.is_empty else ""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(audit.keep)
            tasks.start_soon(book.keep)
            await tasks.start(tenants.run)
            yield Daemon(
                tenants=tenants,
                keys=keys,
                book=book,
                audit=audit,
                replies=replies,
                console=console,
                metrics=metrics,
                settings=machine.settings,
                first_key=first_key,
            )
            tasks.cancel_scope.cancel()
