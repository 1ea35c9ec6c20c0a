"""OpenAI's own client against a daemon: `openai_python.py ADDRESS KEY`. Prints the name of each check that holds."""

import json
import sys
import time

import openai

AGENT, MODEL, EMBEDDER = "agent", "openai:scripted", "static:minilm-256-1"
PARAMETERS = {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}
TOOL = {
    "type": "function",
    "function": {"name": "calculator", "description": "Computes.", "parameters": PARAMETERS},
}
FLAT_TOOL = {"type": "function", "strict": False, **TOOL["function"]}
THREE = "w0 w1 w2"


def says(text):
    return [{"role": "user", "content": text}]


def caught(kind, call):
    """The error that a call must raise."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def models(client):
    assert {model.id for model in client.models.list()} >= {AGENT, MODEL, EMBEDDER}
    assert client.models.retrieve(MODEL).id == MODEL


def chat(client):
    for model in (AGENT, MODEL):
        reply = client.chat.completions.create(model=model, messages=says("words=3"))
        assert reply.choices[0].message.content.strip() == THREE, reply
        assert reply.choices[0].finish_reason == "stop"
        assert reply.usage.total_tokens == 20


def chat_with_skills(client):
    reply = client.chat.completions.create(model=AGENT, messages=says("calls=2 words=3"))
    assert reply.choices[0].message.content.strip() == THREE
    assert reply.usage.total_tokens == 60


def chat_stream(client):
    for model in (AGENT, MODEL):
        stream = client.chat.completions.create(
            model=model, messages=says("words=3 ms=5"), stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
        assert len(texts) >= 3
        assert "".join(texts).strip() == THREE
        assert chunks[-1].usage.total_tokens == 20


def chat_stream_helper(client):
    with client.chat.completions.stream(model=MODEL, messages=says("words=3")) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content.strip() == THREE


def chat_tools(client):
    for model in (AGENT, MODEL):
        messages = says("calls=1 words=3")
        first = client.chat.completions.create(model=model, messages=messages, tools=[TOOL]).choices[0]
        assert first.finish_reason == "tool_calls"
        (call,) = first.message.tool_calls
        assert json.loads(call.function.arguments) == {"expression": "1+1"}
        result = {"role": "tool", "tool_call_id": call.id, "content": "2"}
        messages += [first.message.model_dump(exclude_none=True), result]
        second = client.chat.completions.create(model=model, messages=messages, tools=[TOOL])
        assert second.choices[0].message.content.strip() == THREE


def responses(client):
    for model in (AGENT, MODEL):
        first = client.responses.create(model=model, input="words=3")
        assert (first.status, first.output_text.strip()) == ("completed", THREE)
        second = client.responses.create(model=model, input="words=2", previous_response_id=first.id)
        assert second.output_text.strip() == "w0 w1"
        assert client.responses.retrieve(second.id).output_text == second.output_text
        assert client.responses.input_items.list(second.id).data[0].content[0].text == "words=2"
        client.responses.delete(first.id)
        caught(openai.NotFoundError, lambda gone=first.id: client.responses.retrieve(gone))


def responses_stream(client):
    for model in (AGENT, MODEL):
        with client.responses.stream(model=model, input="words=3 ms=5") as stream:
            kinds = [event.type for event in stream]
            assert stream.get_final_response().output_text.strip() == THREE
        assert kinds.count("response.output_text.delta") >= 3
        assert kinds[-1] == "response.completed"


def responses_tools(client):
    first = client.responses.create(model=AGENT, input="calls=1 words=3", tools=[FLAT_TOOL])
    (call,) = first.output
    assert json.loads(call.arguments) == {"expression": "1+1"}
    back = [{"type": "function_call_output", "call_id": call.call_id, "output": "2"}]
    second = client.responses.create(
        model=AGENT, input=back, tools=[FLAT_TOOL], previous_response_id=first.id
    )
    assert second.output_text.strip() == THREE


def responses_in_the_background(client):
    response = client.responses.create(model=AGENT, input="words=3 ms=20", background=True)
    ends_at = time.monotonic() + 20
    while response.status in {"queued", "in_progress"} and time.monotonic() < ends_at:
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    assert response.output_text.strip() == THREE
    long = client.responses.create(model=AGENT, input="words=1000 ms=20", background=True)
    assert client.responses.cancel(long.id).status == "cancelled"


def told(stream):
    """The numbers, the kinds and the text of the events of a stream."""
    events = list(stream)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    return [event.sequence_number for event in events], [event.type for event in events], text


def responses_streamed_in_the_background(client):
    with client.responses.create(
        model=AGENT, input="calls=1 words=8 ms=30", background=True, stream=True
    ) as stream:
        begun = next(iter(stream)).response
        assert begun.status == "in_progress"
        for event in stream:
            if event.type == "response.output_text.delta":
                break
        seen = event.sequence_number  # here the client goes away
    rest, kinds, _ = told(client.responses.retrieve(begun.id, stream=True, starting_after=seen))
    assert rest == list(range(seen + 1, rest[-1] + 1))
    assert kinds[-1] == "response.completed"
    every, kinds, text = told(client.responses.retrieve(begun.id, stream=True))
    assert every == list(range(rest[-1] + 1))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    whole = client.responses.retrieve(begun.id)
    assert whole.output_text == text
    assert whole.status == "completed"
    assert told(client.responses.retrieve(begun.id, stream=True, starting_after=rest[-1]))[0] == []
    plain = client.responses.create(model=AGENT, input="words=1")
    caught(openai.BadRequestError, lambda: list(client.responses.retrieve(plain.id, stream=True)))


def responses_cancelled_while_streamed(client):
    stream = client.responses.create(model=AGENT, input="words=1000 ms=20", background=True, stream=True)
    response = next(iter(stream)).response
    assert client.responses.cancel(response.id).status == "cancelled"
    *_, last = stream
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
    assert client.responses.cancel(response.id).status == "cancelled"


def responses_input_items(client):
    said = [{"role": "user", "content": f"words={n}"} for n in range(5)]
    response = client.responses.create(model=MODEL, input=said)
    newest = client.responses.input_items.list(response.id, limit=2)
    assert [item.content[0].text for item in newest.data] == ["words=4", "words=3"]
    assert len(list(newest)) == 5, "page after page"
    oldest = client.responses.input_items.list(response.id, order="asc")
    assert [item.content[0].text for item in oldest.data] == [one["content"] for one in said]
    wrong = {"after": "msg_none"}
    caught(openai.BadRequestError, lambda: client.responses.input_items.list(response.id, **wrong))


def conversations(client):
    made = client.conversations.create(metadata={"about": "words"})
    for model in (AGENT, MODEL):
        reply = client.responses.create(model=model, input="words=3", conversation=made.id)
        assert reply.output_text.strip() == THREE
    assert len(list(client.conversations.items.list(made.id, limit=2))) == 4
    assert client.conversations.update(made.id, metadata={"about": "x"}).metadata == {"about": "x"}
    assert client.conversations.retrieve(made.id).metadata == {"about": "x"}
    client.conversations.items.create(made.id, items=[{"type": "message", **says("more")[0]}])
    assert client.conversations.delete(made.id).deleted


def embeddings(client):
    reply = client.embeddings.create(model=EMBEDDER, input=["one", "two"])  # base64 on the wire, by itself
    floats = client.embeddings.create(model=EMBEDDER, input=["one", "two"], encoding_format="float")
    assert [len(one.embedding) for one in reply.data] == [256, 256]
    assert (
        max(abs(a - b) for a, b in zip(reply.data[1].embedding, floats.data[1].embedding, strict=True)) < 1e-6
    )


def errors(client):
    for kind, call in (
        (openai.NotFoundError, lambda: client.chat.completions.create(model="gpt-9", messages=says("x"))),
        (openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=[])),
        (
            openai.BadRequestError,
            lambda: client.responses.create(model=MODEL, input="x", previous_response_id="r"),
        ),
        (openai.NotFoundError, lambda: client.responses.retrieve("resp_none")),
        (openai.NotFoundError, lambda: client.responses.cancel("resp_none")),
        (openai.NotFoundError, lambda: client.responses.delete("resp_none")),
        (openai.NotFoundError, lambda: client.responses.input_items.list("resp_none")),
        (openai.AuthenticationError, client.with_options(api_key="wrong").models.list),
    ):
        error = caught(kind, call)
        assert isinstance(error.body, dict), error  # the inner object, by the client's own reading
        assert error.body["message"]


CHECKS = (
    models,
    chat,
    chat_with_skills,
    chat_stream,
    chat_stream_helper,
    chat_tools,
    responses,
    responses_stream,
    responses_tools,
    responses_in_the_background,
    responses_streamed_in_the_background,
    responses_cancelled_while_streamed,
    responses_input_items,
    conversations,
    embeddings,
    errors,
)

if __name__ == "__main__":
    address, key = sys.argv[1:]
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=60) as opened:
        for check in CHECKS:
            check(opened)
            sys.stdout.write(f"{check.__name__}\n")
            sys.stdout.flush()
