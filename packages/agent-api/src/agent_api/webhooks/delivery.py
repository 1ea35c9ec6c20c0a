"""Sends what webhooks of one tenant are owed. Runs never wait for it; a slow receiver holds up nobody else's."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import anyio
import msgspec
from anyio.abc import TaskGroup

from agent_api import __version__
from agent_api.webhooks import outbox
from agent_api.webhooks.outbox import Attempt, Owed
from agent_api.webhooks.signing import signed_headers
from agent_core.errors import AgentError
from agent_memory.sqlite_store import SqliteStore
from agent_skills.errors import SkillFailedError
from agent_skills.http import HttpRequest
from agent_skills.web.guarded import GuardedWeb, WebLimits

logger = logging.getLogger("agentd")

POLL_S = 5.0
"""How often the records are looked at for what another process wrote."""
UPKEEP_S = 600.0
MAX_AT_ONCE = 32
MAX_AT_ONCE_EACH = 4
_RETRY_S = 2.0
_MAX_REPLY_BYTES = 1_000_000

SecretOf: TypeAlias = Callable[[str, int], bytes]
"""From a webhook's id and a generation to its secret."""
TroubleOf: TypeAlias = Callable[[str], str]
"""From the id of the key that made a webhook to why nothing is sent for it any more; empty: it is."""
OnDisabled: TypeAlias = Callable[[str, str], None]
"""Told which webhook was disabled, and why."""


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """Where webhooks may lead."""

    networks: tuple[str, ...] = ()
    """Networks that are not public and may be reached all the same."""
    ports: tuple[int, ...] = (80, 443)

    def web(self) -> GuardedWeb:
        """The web as far as webhooks may reach it; redirects are not followed.

        Raises:
            ValueError: one of the networks is none.
        """
        limits = WebLimits(
            networks=self.networks,
            ports=self.ports,
            max_bytes=_MAX_REPLY_BYTES,
            timeout_s=15.0,
            max_redirects=0,
        )
        return GuardedWeb(limits)


class Deliverer:
    """The task that sends."""

    def __init__(
        self,
        records: SqliteStore,
        web: GuardedWeb,
        *,
        secret_of: SecretOf,
        trouble_of: TroubleOf,
        on_disabled: OnDisabled,
        now: Callable[[], float],
    ) -> None:
        self._records = records
        self._web = web
        self._secret_of = secret_of
        self._trouble_of = trouble_of
        self._on_disabled = on_disabled
        self._now = now
        self._under_way: Counter[str] = Counter()
        self._wake = anyio.Event()
        self._upkeep_at = 0.0

    def wake(self) -> None:
        """Something is owed."""
        self._wake.set()

    async def keep(self) -> None:
        """Send what is due, until cancelled. What is under way then is sent again by the next start."""
        async with anyio.create_task_group() as tasks:
            while True:
                try:
                    wait_s = await self._send_due(tasks)
                except AgentError as error:
                    logger.warning("webhooks wait: %s", error)
                    wait_s = _RETRY_S
                with anyio.move_on_after(wait_s):
                    await self._wake.wait()
                self._wake = anyio.Event()

    async def _send_due(self, tasks: TaskGroup) -> float:
        """Begin what is due; returns how long there is nothing to do."""
        now = self._now()
        if now >= self._upkeep_at:
            self._upkeep_at = now + UPKEEP_S
            for webhook_id, reason in await self._records.change(outbox.upkeep, now):
                self._on_disabled(webhook_id, reason)
        due_at = await self._records.read(outbox.next_due)
        if due_at is None or due_at > now:
            return POLL_S if due_at is None else min(POLL_S, due_at - now)
        room = MAX_AT_ONCE - self._under_way.total()
        busy = [one for one, count in self._under_way.items() if count >= MAX_AT_ONCE_EACH]
        if room <= 0:
            return POLL_S  # an attempt that ends wakes us
        for owed in await self._records.change(outbox.claim, now, min(room, MAX_AT_ONCE_EACH), busy):
            self._under_way[owed.webhook_id] += 1
            tasks.start_soon(self._deliver, owed)
        return _RETRY_S if busy else 0.0

    async def _deliver(self, owed: Owed) -> None:
        try:
            trouble = self._trouble_of(owed.key_id)
            if trouble:
                disabled = await self._refuse(owed, trouble)
            else:
                disabled = await self._records.change(outbox.settle, owed, await self._attempt(owed))
            if disabled:
                self._on_disabled(owed.webhook_id, disabled)
        except AgentError as error:  # it is claimed for a while, and then sent again
            logger.warning("delivery %s is not settled: %s", owed.message_id, error)
        finally:
            self._under_way[owed.webhook_id] -= 1
            if not self._under_way[owed.webhook_id]:
                del self._under_way[owed.webhook_id]
            self.wake()

    async def _refuse(self, owed: Owed, trouble: str) -> str:
        """What it is owed stays: who enables it again, with another key, has it sent."""
        is_new = await self._records.change(outbox.disable, owed.webhook_id, trouble, self._now())
        return trouble if is_new else ""

    async def _attempt(self, owed: Owed) -> Attempt:
        now, body = self._now(), owed.payload.encode()
        secrets = [self._secret_of(owed.webhook_id, owed.generation)]
        if now < owed.before_until:
            secrets.append(self._secret_of(owed.webhook_id, owed.generation - 1))
        headers = {
            **signed_headers(owed.message_id, now, body, secrets),
            "content-type": "application/json",
            "user-agent": f"agentd/{__version__}",
        }
        if owed.token:
            headers["x-a2a-notification-token"] = owed.token
        if owed.authorization:
            headers["authorization"] = owed.authorization
        try:
            reply = await self._web.send(HttpRequest(method="POST", url=owed.url, headers=headers, body=body))
        except SkillFailedError as error:
            return Attempt(at=self._now(), error=str(error))
        came_through = 200 <= reply.status < 300
        return Attempt(
            at=self._now(), status=reply.status, error="" if came_through else f"it answered {reply.status}"
        )
