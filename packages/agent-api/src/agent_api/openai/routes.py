"""Every route below `/v1`, with its own shape of errors."""

from litestar import Router
from litestar.di import Provide
from litestar.exceptions import HTTPException

from agent_api.openai.caller import provide_caller
from agent_api.openai.chat_route import chat
from agent_api.openai.conversations_route import ConversationsController
from agent_api.openai.embeddings_route import embeddings
from agent_api.openai.failures import agent_failure, http_failure
from agent_api.openai.models_route import model, models
from agent_api.openai.responses_route import ResponsesController
from agent_api.openai.responses_socket import responses_socket
from agent_core.errors import AgentError

openai_routes = Router(
    path="/",
    route_handlers=[
        chat,
        models,
        model,
        embeddings,
        ResponsesController,
        responses_socket,
        ConversationsController,
    ],
    dependencies={"caller": Provide(provide_caller)},
    exception_handlers={AgentError: agent_failure, HTTPException: http_failure},
)
