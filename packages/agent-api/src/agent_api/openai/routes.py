"""Every route below `/v1`, with its own shape of errors."""

from litestar import Router
from litestar.exceptions import HTTPException

from agent_api.openai.chat_route import chat
from agent_api.openai.failures import agent_failure, http_failure
from agent_api.openai.models_route import model, models
from agent_core.errors import AgentError

openai_routes = Router(
    path="/",
    route_handlers=[chat, models, model],
    exception_handlers={AgentError: agent_failure, HTTPException: http_failure},
)
