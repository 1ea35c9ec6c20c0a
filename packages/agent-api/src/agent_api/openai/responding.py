"""A response from its request to its end: what was said before, who answers, what is kept."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType

import msgspec

from agent_api.errors import InvalidRequestError, NotFoundError
from agent_api.openai import agent_runs, items, resource
from agent_api.openai.caller import Caller
from agent_api.openai.direct import with_instructions
from agent_api.openai.held import asked_directly
from agent_api.openai.resource import Response
from agent_api.openai.response_events import Event, ResponseWriter
from agent_api.openai.response_store import ResponseStore, Stored, whole_items
from agent_api.openai.responses_request import (
    Item,
    ResponseRequest,
    check_served,
    constraint_of,
    model_request,
)
from agent_api.openai.run_talk import talk_of
from agent_api.openai.talk import Talk, Waiting, silence
from agent_api.openai.unseen import as_read, declined, refusal_of
from agent_core import events as ev
from agent_core.chat import JsonSchema
from agent_core.errors import AgentError
from agent_core.messages import Message
from agent_core.state import Phase

NOTHING: Mapping[str, Stored] = MappingProxyType({})


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One response under way: what it is so far, and what is being said."""

    stored: Stored
    talk: Talk
    is_kept: bool
    before: Sequence[Item] = ()
    """What was said before its input."""


def store_of(caller: Caller) -> ResponseStore:
    """The responses of the caller's tenant."""
    return ResponseStore(caller.supervisor.agent.data_path)


async def begin(caller: Caller, request: ResponseRequest, nearby: Mapping[str, Stored] = NOTHING) -> Exchange:
    """Ask the agent or the model. `nearby` holds responses to go on from that were not to be stored.

    Raises:
        InvalidRequestError: what the request names is not there, or two of its fields do not fit.
        AgentError: nobody can be asked now.
    """
    is_agent = caller.is_agent(request.model)
    _check(request, is_agent=is_agent)
    return await _begun_before(caller, request) or await _begun(caller, request, nearby, is_agent=is_agent)


async def _begun(
    caller: Caller, request: ResponseRequest, nearby: Mapping[str, Stored], *, is_agent: bool
) -> Exchange:
    stored, earlier, messages = await _asked(caller, request, nearby)
    if not any(message.role != "system" for message in messages):
        raise InvalidRequestError("there is nothing to answer", param="input")
    is_kept = request.store is not False
    refusal = refusal_of(messages, caller.model.profile)
    if refusal is not None and request.background:
        raise InvalidRequestError(refusal.text, param="input")
    if refusal is not None:
        return Exchange(stored=stored, talk=declined(refusal), is_kept=is_kept, before=earlier)
    messages = as_read(messages, caller.model.profile)

    async def keep_begun(run_id: str) -> None:
        begun = msgspec.structs.replace(stored, run_id=run_id)
        if request.background and request.stream:
            await caller.tellings.begin(begun)
        elif is_kept:
            await store_of(caller).put(begun)

    asked = _question(request, messages) if is_agent and not request.tools else None
    if asked is not None:
        run_id = await agent_runs.start(caller, asked, keep_begun)
        stored = msgspec.structs.replace(stored, run_id=run_id)
        return Exchange(
            stored=stored, talk=talk_of(caller.supervisor, run_id), is_kept=is_kept, before=earlier
        )
    if request.background:
        raise InvalidRequestError(
            "only the agent, asked by a message, works in the background; a model's answer ends with its connection",
            param="background",
        )
    direct = model_request(request, messages)
    if is_agent:  # the client runs its own tools, and skills would take turns between
        direct = with_instructions(direct, caller.supervisor.agent.settings.instructions)
    return Exchange(stored=stored, talk=asked_directly(caller, direct), is_kept=is_kept, before=earlier)


async def warmed(
    caller: Caller, request: ResponseRequest, nearby: Mapping[str, Stored] = NOTHING
) -> Exchange:
    """What is asked, read and checked, to go on from: nobody answers it.

    Raises:
        As `begin`.
    """
    _check(request, is_agent=caller.is_agent(request.model))
    stored, earlier, _ = await _asked(caller, request, nearby)
    return Exchange(stored=stored, talk=silence(), is_kept=request.store is not False, before=earlier)


async def _asked(
    caller: Caller, request: ResponseRequest, nearby: Mapping[str, Stored]
) -> tuple[Stored, list[Item], list[Message]]:
    """The response that was not answered yet, what was said before it, and all of it as messages."""
    caller.check_spending()
    earlier = await before(caller, request, nearby)
    given = items.checked(request.input, earlier, seal=caller.seal, new_id=caller.attempt.new_id)
    said = [*earlier, *given]
    items.check_results(said)
    response = resource.begun(request, caller.attempt.new_id("resp"))
    stored = Stored(response=response, input=given, is_settled=False)
    return stored, earlier, items.messages_of(said, request.instructions, seal=caller.seal)


async def _begun_before(caller: Caller, request: ResponseRequest) -> Exchange | None:
    """The response that an attempt before this one kept, told from its beginning; None: it kept none."""
    if not caller.attempt.is_again:
        return None
    stored = await store_of(caller).get(caller.attempt.stem_id("resp"))
    state = await agent_runs.begun_before(caller)
    if stored is None or state is None:
        return None
    caller.supervisor.take_up(state)
    if not request.background:
        begun = resource.begun(request, stored.response.id)
        begun = msgspec.structs.replace(begun, created_at=stored.response.created_at)
        stored = msgspec.structs.replace(stored, response=begun, is_settled=False)
    return Exchange(stored=stored, talk=talk_of(caller.supervisor, stored.run_id), is_kept=True)


def _check(request: ResponseRequest, *, is_agent: bool) -> None:
    check_served(request, is_agent=is_agent)
    if request.conversation_id and request.previous_response_id:
        raise InvalidRequestError(
            "a response goes on from a conversation or from a response, not from both",
            param="previous_response_id",
        )
    if request.background and request.store is False:
        raise InvalidRequestError("what works in the background is stored: leave `store` out", param="store")


def _question(request: ResponseRequest, messages: list[Message]) -> agent_runs.Question | None:
    """What the agent is asked; None: the conversation does not end with what a person said."""
    constraint = constraint_of(request)
    schema = constraint.schema if isinstance(constraint, JsonSchema) else None
    return agent_runs.question(messages, "input", answer_schema=schema, session_id=request.conversation_id)


async def before(
    caller: Caller, request: ResponseRequest, nearby: Mapping[str, Stored] = NOTHING
) -> list[Item]:
    """What was said before the input, the oldest first.

    Raises:
        InvalidRequestError: the response to go on from is not there, or is still under way.
        NotFoundError: there is no such conversation.
    """
    if request.conversation_id:
        return await conversation_items(caller, request.conversation_id)
    found: list[list[Item]] = []
    store, response_id = store_of(caller), request.previous_response_id
    while response_id:
        stored = nearby.get(response_id) or await store.get(response_id)
        if stored is None:
            raise InvalidRequestError(
                f"there is no response {response_id!r} to go on from",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        stored = await settled(caller, stored)
        if not stored.is_settled:
            raise InvalidRequestError(
                f"response {response_id!r} is still under way", param="previous_response_id"
            )
        found.append([*stored.input, *whole_items(stored.response.output)])
        response_id = stored.response.previous_response_id
    return [item for part in reversed(found) for item in part]


async def conversation_items(caller: Caller, conversation_id: str) -> list[Item]:
    """The items of a conversation, the oldest first, with what its runs have said since.

    Raises:
        NotFoundError: there is no such conversation.
    """
    store = store_of(caller)
    if await store.conversation(conversation_id) is None:
        raise NotFoundError(f"there is no conversation {conversation_id!r}")
    for stored in await store.unsettled(conversation_id):
        await settled(caller, stored)
    return await store.items(conversation_id)


async def spoken(caller: Caller, exchange: Exchange) -> AsyncGenerator[Event | Waiting]:
    """The events of a response; it is kept before the last one is told. What fails in the middle is an event."""
    writer = ResponseWriter(exchange.stored.response)
    last: list[Event] = []
    try:
        async with aclosing(exchange.talk) as talk:
            for event in writer.begin():
                yield event
            async for said in talk:
                if isinstance(said, Waiting):
                    yield said
                    continue
                last = list(writer.say(said))
                if writer.response.status == "in_progress":
                    for event in last:
                        yield event
    except AgentError as error:
        last = writer.fail(error)
    await keep(caller, exchange, writer.response)
    for event in last:
        yield event


async def answered(caller: Caller, exchange: Exchange) -> Response:
    """The whole response.

    Raises:
        AgentError: nobody answered; what was kept says so too.
    """
    writer = ResponseWriter(exchange.stored.response)
    try:
        async with aclosing(exchange.talk) as talk:
            async for said in talk:
                for _ in writer.say(said):
                    pass
    except AgentError as error:
        writer.fail(error)
        if exchange.stored.run_id:
            await keep(caller, exchange, writer.response)
        raise
    await keep(caller, exchange, writer.response)
    return writer.response


async def keep(caller: Caller, exchange: Exchange, response: Response) -> None:
    """Keep how a response ended, where it was to be kept."""
    if exchange.is_kept and response.status != "in_progress":
        stored = msgspec.structs.replace(exchange.stored, response=response, is_settled=True)
        await store_of(caller).put(stored)


async def settled(caller: Caller, stored: Stored) -> Stored:
    """The response with what its run has said; as it is while the run is under way, or where nobody drives it now."""
    if stored.is_settled or not stored.run_id:
        return stored
    view = await caller.supervisor.view(stored.run_id)
    if stored.is_told and view.status not in {"running", "interrupted"}:
        telling = await caller.tellings.of(stored)
        await telling.ended()
        return await store_of(caller).get(stored.response.id) or stored
    if view.phase is Phase.CANCELLED:
        response = msgspec.structs.replace(stored.response, status="cancelled")
    elif view.status in {"running", "interrupted"}:
        return stored
    else:
        exchange = Exchange(stored=stored, talk=talk_of(caller.supervisor, stored.run_id), is_kept=False)
        try:
            response = await answered(caller, exchange)
        except AgentError as error:
            response = resource.failed(stored.response, [], str(error))
    done = msgspec.structs.replace(stored, response=response, is_settled=True)
    await store_of(caller).put(done)
    return done


async def found(caller: Caller, response_id: str) -> Stored:
    """A response that was kept.

    Raises:
        NotFoundError: there is none.
    """
    stored = await store_of(caller).get(response_id)
    if stored is None:
        raise NotFoundError(f"there is no response {response_id!r}")
    return await settled(caller, stored)


async def cancelled(caller: Caller, stored: Stored) -> Stored:
    """The response after its run was cancelled; one that is over stays as it is.

    Raises:
        InvalidRequestError: it does not work in the background.
    """
    if not stored.response.background:
        raise InvalidRequestError(
            "only a response that works in the background is cancelled", param="response_id"
        )
    if stored.is_settled:
        return stored
    by = f"key {caller.principal.key.key_id}"
    command = ev.RunCancelled(at=caller.supervisor.agent.runner.now(), by=by)
    await caller.supervisor.command(stored.run_id, command)
    return await settled(caller, stored)
