"""Examples for the OpenAPI document: of every body, and of the main replies. Each is an object of the type that it is an example
of, so that it cannot become false unseen; a test holds each to its schema, and sends those bodies that can be sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent_api.access.keys import ApiKey, KeyLimits
from agent_api.imports import ImportView
from agent_api.openai import resource
from agent_api.openai.chat_request import ChatRequest
from agent_api.openai.compacting import CompactRequest
from agent_api.openai.conversations_route import (
    NewConversation,
    NewItems,
    ShownConversation,
    UpdateConversation,
)
from agent_api.openai.embeddings_route import Embedding, EmbeddingList, EmbeddingsRequest, EmbeddingsUsage
from agent_api.openai.lists import ItemList
from agent_api.openai.responses_request import Item, ResponseRequest
from agent_api.routes.console import WhoIsThere
from agent_api.routes.keys import KeyList, NewKey, RotateKey, ShownKey
from agent_api.routes.knowledge import KnowledgeQuery, NewDocument, NewIngest
from agent_api.routes.mcp_servers import Approve, ToolName
from agent_api.routes.memory import MemoryQuery, NewForgetting, Remembered, RememberedList, RememberedPage
from agent_api.routes.schedules import ChangeSchedule, NewSchedule, ScheduleList
from agent_api.routes.sessions import ChangeSession, ErasedSession, NewSession
from agent_api.routes.webhooks import ChangeWebhook, NewWebhook, RotateSecret, WebhookList
from agent_api.schedules.timetable import FiringView, RunTemplate, ScheduleView
from agent_api.sessions import SessionPage, SessionView
from agent_api.webhooks.hooks import DeliveryPage, DeliveryView, ShownWebhook, WebhookView
from agent_api.wire.runs import CancelRun, Decide, ForkRun, NewRun, PendingDecision, RunPage, RunView
from agent_core.limits import Limits
from agent_core.messages import FinishReason, Usage
from agent_core.state import Phase

_AT = 1_795_348_800.0
_RUN, _SESSION, _KEY = "run_1a2049d485d9b5fa", "session_1a2049d4d02b20f5", "5f2c9a1be07d"
_MODEL = "local:smollm2-135m"
_SHOWN_ONCE = "whsec_c2hvd24gb25jZSwgYW5kIGtlcHQgbm93aGVyZSE="

_USAGE = Usage(input_tokens=412, output_tokens=9)
_DONE = RunView(
    run_id=_RUN,
    session_id=_SESSION,
    status="done",
    phase=Phase.DONE,
    seq=8,
    model=_MODEL,
    prompt="What is 17*23?",
    answer="17 * 23 = 391",
    error="",
    limit_reached="",
    usage=_USAGE,
    turns=2,
    tool_calls=1,
    started_at=_AT,
    updated_at=_AT + 1.2,
)
_SESSION_VIEW = SessionView(
    session_id=_SESSION, name="Pump 3", metadata={"site": "north"}, created_at=_AT, updated_at=_AT + 1.2
)
_SCHEDULE = ScheduleView(
    schedule_id="schedule_70c1c0e9",
    name="Morning",
    cron="30 7 * * MON-FRI",
    time_zone="Europe/Berlin",
    run=RunTemplate(prompt="Is the pump well?", session="same"),
    missed="skip",
    key_id=_KEY,
    created_at=_AT,
    status="active",
    reason="",
    next_at=_AT + 66_600,
)
_WEBHOOK = WebhookView(
    webhook_id="webhook_3f1d6a2c9b0e4d57",
    url="https://example.org/hooks/agent",
    name="to the chat",
    events=("run.done", "run.failed"),
    key_id=_KEY,
    created_at=_AT,
    status="enabled",
    reason="",
    failing_since=None,
    disabled_at=None,
)
_DELIVERY = DeliveryView(
    message_id="msg_0f4be2a7c1d95e6638aa10bd",
    type="run.done",
    status="delivered",
    attempts=1,
    created_at=_AT,
    next_at=None,
    last_status=204,
    last_error="",
    ended_at=_AT + 0.3,
)
_API_KEY = ApiKey(
    key_id=_KEY,
    tenant="default",
    name="dashboard",
    scopes=("runs:read", "runs:write"),
    limits=KeyLimits(requests_per_minute=60),
    created_at=_AT,
)
_SAID: Item = {"type": "message", "role": "user", "content": "What is 17*23?"}
_KEPT: Item = {
    "id": "msg_1a2049d4",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_text", "text": "What is 17*23?"}],
}
_ANSWERED: Item = {
    "type": "message",
    "id": "item_1a2049d4_0",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "391", "annotations": [], "logprobs": []}],
}
_CONVERSATION = ShownConversation(id="conv_1a2049d4", created_at=int(_AT), metadata={"about": "sums"})
_FACT = Remembered(kind="fact", id=7, text="user prefers metric units", at=_AT, session_id=_SESSION)


def _response() -> resource.Response:
    begun = resource.begun(ResponseRequest(model="agent", input="What is 17*23?"), "resp_1a2049d4")
    done = resource.ended(begun, [_ANSWERED], FinishReason.STOP, _USAGE)
    return msgspec.structs.replace(done, created_at=int(_AT), completed_at=int(_AT) + 1)


BODIES: Sequence[msgspec.Struct] = (
    NewRun(prompt="What is 17*23?", limits=Limits(turns=8)),
    ForkRun(at_seq=2, prompt="What is 17*24?"),
    CancelRun(reason="not needed any more"),
    Decide(tool_call_id="call_1", decision="allow"),
    NewSession(name="Pump 3", metadata={"site": "north"}),
    ChangeSession(name="Pump 4"),
    NewWebhook(url="https://example.org/hooks/agent", events=("run.done", "run.failed"), name="to the chat"),
    ChangeWebhook(enabled=False),
    RotateSecret(grace_s=3_600.0),
    NewSchedule(
        cron="30 7 * * MON-FRI",
        time_zone="Europe/Berlin",
        run=RunTemplate(prompt="Is the pump well?", session="same"),
        name="Morning",
    ),
    ChangeSchedule(cron="0 8 * * *"),
    NewKey(name="dashboard", scopes=("runs:read", "runs:write"), limits=KeyLimits(requests_per_minute=60)),
    RotateKey(grace_s=3_600.0),
    NewIngest(
        name="security",
        documents=(NewDocument(source="house.md", text="# Doors\n\nThe gate closes at ten."),),
    ),
    KnowledgeQuery(query="When does the gate close?", k=3),
    MemoryQuery(query="Which units?", k=3),
    NewForgetting(subject="user"),
    Approve(tools=(ToolName(name="desk_echo", digest="9f86d081884c7d65"),)),
    ResponseRequest(model="agent", input="What is 17*23?"),
    CompactRequest(model=_MODEL, input=[_SAID]),
    NewConversation(items=[_SAID], metadata={"about": "sums"}),
    UpdateConversation(metadata={"about": "products"}),
    NewItems(items=[_SAID]),
    EmbeddingsRequest(model="static:minilm-256-1", input=["When does the gate close?"]),
    msgspec.convert(
        {"model": "agent", "messages": [{"role": "user", "content": "What is 17*23?"}]}, ChatRequest
    ),
)

REPLIES: Sequence[msgspec.Struct] = (
    _DONE,
    RunPage(
        items=(
            msgspec.structs.replace(
                _DONE,
                status="waiting",
                phase=Phase.AWAITING,
                answer="",
                pending=(
                    PendingDecision(
                        tool_call_id="call_1",
                        name="shell",
                        arguments={"command": "rm -r old"},
                        question="Run `rm -r old`?",
                    ),
                ),
            ),
        ),
        next_cursor=_RUN,
    ),
    _SESSION_VIEW,
    SessionPage(items=(_SESSION_VIEW,), next_cursor=None),
    ErasedSession(session_id=_SESSION, runs=3),
    _SCHEDULE,
    ScheduleList(items=(_SCHEDULE,)),
    FiringView(due_at=_AT, at=_AT, status="started", run_id=_RUN, key_id=_KEY, detail=""),
    _WEBHOOK,
    ShownWebhook(secret=_SHOWN_ONCE, about=_WEBHOOK),
    WebhookList(items=(_WEBHOOK,)),
    _DELIVERY,
    DeliveryPage(items=(_DELIVERY,), next_cursor=None),
    _API_KEY,
    ShownKey(key=f"ag_{_KEY}_shown-this-once", about=_API_KEY),
    KeyList(items=(_API_KEY,)),
    RememberedList(items=(_FACT,)),
    RememberedPage(items=(_FACT,), next_cursor=None),
    ImportView(
        import_id="import_1a2049d485d9b5fa",
        status="done",
        digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        rows=412,
        passages=87,
    ),
    _response(),
    ItemList(data=[_KEPT], first_id=str(_KEPT["id"]), last_id=str(_KEPT["id"]), has_more=False),
    _CONVERSATION,
    EmbeddingList(
        data=[Embedding(index=0, embedding=[0.031, -0.118, 0.094])],
        model="static:minilm-256-1",
        usage=EmbeddingsUsage(prompt_tokens=6, total_tokens=6),
    ),
    WhoIsThere(
        key_id=_KEY,
        name="dashboard",
        tenant="default",
        scopes=("runs:read", "runs:write"),
        csrf_token=_SHOWN_ONCE,
        expires_at=_AT + 43_200,
    ),
)


def by_schema() -> Mapping[str, Any]:
    """The examples as JSON, by the name of their schema. What a body leaves out is left out."""
    bodies = {type(one).__name__: _given(one) for one in BODIES}
    return {**bodies, **{type(one).__name__: msgspec.to_builtins(one) for one in REPLIES}}


def _given(body: msgspec.Struct) -> dict[str, Any]:
    whole: dict[str, Any] = msgspec.to_builtins(body)
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(body)}
    made = {field.encode_name: getattr(body, field.name) for field in msgspec.structs.fields(body)}
    return {name: value for name, value in whole.items() if made[name] != defaults[name]}
