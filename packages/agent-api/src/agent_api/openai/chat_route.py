"""`POST /v1/chat/completions`."""

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from agent_api.access.scopes import Scope
from agent_api.openai import agent_runs
from agent_api.openai.caller import Caller
from agent_api.openai.chat_reply import ChatCompletion, completion, frames, head
from agent_api.openai.chat_request import ChatRequest, check_served, constraint_of, messages_of, model_request
from agent_api.openai.direct import with_instructions
from agent_api.openai.held import asked_directly
from agent_api.openai.run_talk import talk_of
from agent_api.openai.talk import Talk, begun, heard
from agent_api.openai.unseen import as_read, declined, refusal_of
from agent_api.pieces import Pieces
from agent_core.chat import JsonSchema

PATH = "/v1/chat/completions"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@post(
    PATH,
    opt={"scope": Scope.MODELS_USE},
    status_code=HTTP_200_OK,
    summary="Chat",
    tags=("openai",),
)
async def chat(
    data: JSONBody[ChatRequest],
    caller: NamedDependency[Caller],
) -> Response[ChatCompletion] | Stream:
    """Chat completions. The model `agent` answers by a durable run, which `X-Run-Id` names; others are asked directly."""
    talk, run_id = await _asked(caller, data)
    of = head(run_id or caller.new_id("reply"), data.model)
    headers = {"X-Run-Id": run_id} if run_id else {}
    if not data.stream:
        turns, ended = await heard(talk)
        return Response(completion(of, turns, ended), headers=headers)
    usage = bool(data.stream_options and data.stream_options.include_usage)
    talk = talk if run_id else await begun(talk)
    body = frames(of, talk, include_usage=usage, path=PATH)
    return Pieces(body, media_type="text/event-stream", headers={**STREAM_HEADERS, **headers})


async def _asked(caller: Caller, data: ChatRequest) -> tuple[Talk, str]:
    """Who answers, and the run if it is one."""
    is_agent = caller.is_agent(data.model)
    check_served(data)
    caller.check_spending()
    messages = messages_of(data)
    refusal = refusal_of(messages, caller.model.profile)
    if refusal is not None:
        return declined(refusal), ""
    messages = as_read(messages, caller.model.profile)
    if is_agent and not data.tools:
        constraint = constraint_of(data)
        schema = constraint.schema if isinstance(constraint, JsonSchema) else None
        asked = agent_runs.question(messages, "messages", answer_schema=schema)
        if asked is not None:
            run_id = await agent_runs.start(caller, asked)
            return talk_of(caller.supervisor, run_id), run_id
    request = model_request(data, messages)
    if is_agent:  # the client runs its own tools, and skills would take turns between
        request = with_instructions(request, caller.supervisor.agent.settings.instructions)
    return asked_directly(caller, request), ""
