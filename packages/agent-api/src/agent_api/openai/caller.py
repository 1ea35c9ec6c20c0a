"""Who asks, and what may be asked: the names of models, and what every question costs."""

import time

import msgspec
from litestar.di import NamedDependency

from agent_api.access.attempt import Attempt
from agent_api.access.gate import Principal
from agent_api.daemon import Daemon
from agent_api.errors import ModelNotFoundError
from agent_api.openai.sealing import TenantSeal
from agent_api.openai.tellings import Tellings
from agent_api.supervisor import Supervisor
from agent_core.messages import Usage
from agent_core.ports import ChatModel

AGENT = "agent"
"""The model name of the agent."""
EMBEDDER = "static:minilm-256-1"
"""The model name of the embedded embedder: its own, so that vectors of two tables are told apart."""


async def provide_caller(
    supervisor: NamedDependency[Supervisor],
    principal: NamedDependency[Principal],
    daemon: NamedDependency[Daemon],
) -> "Caller":
    """What the routes are given."""
    return Caller(supervisor=supervisor, principal=principal, daemon=daemon)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One key's view of the daemon while a request of it is answered."""

    supervisor: Supervisor
    principal: Principal
    daemon: Daemon

    @property
    def tellings(self) -> Tellings:
        """The responses of the tenant that are being told."""
        return self.daemon.tenants.tellings(self.principal.tenant)

    @property
    def model(self) -> ChatModel:
        """The machine's model."""
        return self.supervisor.agent.model

    @property
    def chat_names(self) -> tuple[str, str]:
        """The names that a chat may be asked of."""
        return (AGENT, self.model.profile.name)

    @property
    def seal(self) -> TenantSeal:
        """For what this tenant's clients keep for us."""
        return TenantSeal(self.daemon.keys.secret_for("compaction"), self.principal.tenant)

    @property
    def attempt(self) -> Attempt:
        """Which ids belong to what the request begins."""
        return self.principal.attempt

    def new_id(self, prefix: str) -> str:
        """A new id, of something that is not kept."""
        return self.supervisor.agent.runner.adapters.ids.new(prefix)

    def is_agent(self, name: str) -> bool:
        """Whether the agent is meant, not the model itself.

        Raises:
            ModelNotFoundError: nothing here has that name.
        """
        if name not in self.chat_names:
            raise ModelNotFoundError(name, self.chat_names)
        return name == AGENT

    def check_spending(self) -> None:
        """Whether the key may ask a model.

        Raises:
            RateLimitedError: it has spent what it may.
        """
        self.daemon.book.check(self.principal.key, time.time())

    def own(self, run_id: str) -> None:
        """The key pays for this run."""
        self.daemon.book.own(run_id, tenant=self.principal.tenant, key_id=self.principal.key.key_id)

    def spend(self, usage: Usage) -> None:
        """The key pays for what was asked without a run."""
        key = self.principal.key
        self.daemon.book.add(tenant=key.tenant, key_id=key.key_id, usage=usage, at=time.time())
        self.daemon.book.flush()  # no journal has it
