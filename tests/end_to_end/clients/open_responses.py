"""What Open Responses asks of a server, from outside: `open_responses.py ADDRESS KEY MODEL DOCUMENT`. Prints the name of each check that holds.

DOCUMENT is the OpenAPI document of Open Responses; every request, reply, event and message is held against it.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx
import jsonschema
import websockets

PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place.",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    },
}
LAST = {"response.completed", "response.failed", "response.incomplete"}
TURN_S = 60


class Document:
    """The shapes of the document."""

    def __init__(self, path):
        components = json.loads(Path(path).read_text(encoding="utf-8"))["components"]
        self._components = components
        self._events = {
            schema["properties"]["type"]["enum"][0]: name
            for name, schema in components["schemas"].items()
            if name.endswith("StreamingEvent")
        }
        self._validators = {}

    def hold(self, instance, schema):
        """Nothing is wrong with it."""
        if schema not in self._validators:
            root = {"$ref": f"#/components/schemas/{schema}", "components": self._components}
            self._validators[schema] = jsonschema.Draft202012Validator(root)
        wrong = [f"{e.json_path}: {e.message[:200]}" for e in self._validators[schema].iter_errors(instance)]
        assert not wrong, (schema, wrong, instance)

    def hold_event(self, event):
        """It is an event of the document."""
        self.hold(event, self._events[event["type"]])


class Server:
    """The server under test."""

    def __init__(self, address, key, model, document):
        self.model = model
        self.document = document
        self._sockets = address.replace("http", "ws", 1) + "/v1/responses"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.AsyncClient(
            base_url=f"{address}/v1", headers=self._headers, timeout=TURN_S, trust_env=False
        )

    async def post(self, path, body, status=200):
        reply = await self._client.post(path, json=body)
        assert reply.status_code == status, (reply.status_code, reply.text)
        return reply

    async def respond(self, said, **fields):
        """A response, as a whole."""
        body = {"model": self.model, "input": said, **fields}
        self.document.hold(body, "CreateResponseBody")
        response = (await self.post("/responses", body)).json()
        self.document.hold(response, "ResponseResource")
        return response

    async def stream(self, said, **fields):
        """The events of a response, and how it ended."""
        body = {"model": self.model, "input": said, "stream": True, **fields}
        self.document.hold(body, "CreateResponseBody")
        reply = await self.post("/responses", body)
        assert reply.headers["content-type"].startswith("text/event-stream")
        frames = [dict(line.split(": ", 1) for line in frame.split("\n")) for frame in framed(reply.text)]
        assert frames.pop()["data"] == "[DONE]"
        events = [json.loads(frame["data"]) for frame in frames]
        assert [frame["event"] for frame in frames] == [event["type"] for event in events]
        return self._ended(events)

    async def compact(self, said, **fields):
        body = {"model": self.model, "input": said, **fields}
        self.document.hold(body, "CompactResponseMethodPublicBody")
        made = (await self.post("/responses/compact", body)).json()
        self.document.hold(made, "CompactResource")
        return made

    async def talk(self, *messages):
        """What came of each message over one connection. A message may be made from what came of those before."""
        ended = []
        async with websockets.connect(self._sockets, additional_headers=self._headers) as socket:
            for message in messages:
                made = message(*ended) if callable(message) else message
                ask = {"type": "response.create", "model": self.model, "store": False, **made}
                self.document.hold(ask, "WebSocketResponseCreateEvent")
                await socket.send(json.dumps(ask))
                ended.append(await asyncio.wait_for(self._turn(socket), TURN_S))
        return ended

    async def _turn(self, socket):
        events = []
        async for text in socket:
            event = json.loads(text)
            if event["type"] == "error":
                self.document.hold(event, "WebSocketErrorEvent")
                return event
            events.append(event)
            if event["type"] in LAST:
                return self._ended(events)[1]
        raise AssertionError("the connection ended in the middle of a response")

    def _ended(self, events):
        for event in events:
            self.document.hold_event(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[0]["type"] == "response.created"
        assert events[-1]["type"] in LAST
        response = events[-1]["response"]
        self.document.hold(response, "ResponseResource")
        return events, response


def framed(text):
    return [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]


def says(text, role="user", **fields):
    return {"type": "message", "role": role, "content": text, **fields}


def hold_answer(response):
    assert response["status"] == "completed", response
    assert response["output"], response


async def a_text_is_answered(server):
    hold_answer(await server.respond([says("Say hello in three words.")]))


async def what_was_said_may_tell_its_phase(server):
    hold_answer(
        await server.respond(
            [
                says("I look the number up.", "assistant", phase="commentary"),
                says("It is four.", "assistant", phase="final_answer"),
                says("Say the number alone."),
            ]
        )
    )


async def the_document_knows_phases_of_the_output(server):
    response = await server.respond([says("Say yes.")])
    message = {
        **says([{"type": "output_text", "text": "Four.", "annotations": []}], "assistant"),
        "id": "msg_1",
        "status": "completed",
    }
    for phase in ("commentary", "final_answer"):
        server.document.hold({**response, "output": [{**message, "phase": phase}]}, "ResponseResource")


async def a_stream_is_typed_events(server):
    events, response = await server.stream([says("Count from 1 to 5.")])
    hold_answer(response)
    assert "response.output_text.delta" in [event["type"] for event in events]


async def over_a_socket_a_text_is_answered(server):
    (response,) = await server.talk({"input": [says("Count from 1 to 3.")], "store": True})
    hold_answer(response)


async def over_a_socket_one_follows_another(server):
    first, second = await server.talk({"input": "Say first."}, {"input": "Say second."})
    hold_answer(first)
    hold_answer(second)
    assert first["id"] != second["id"]


async def over_a_socket_what_is_not_stored_is_gone_on_from(server):
    first, second = await server.talk(
        {"input": "Remember the word cobalt."},
        lambda first: {"input": "Which word?", "previous_response_id": first["id"]},
    )
    hold_answer(second)
    assert second["previous_response_id"] == first["id"]


async def over_another_socket_what_is_not_stored_is_gone(server):
    (first,) = await server.talk({"input": "Remember the word copper."})
    lost, fresh = await server.talk(
        {"input": "Which word?", "previous_response_id": first["id"]}, {"input": [says("Start anew.")]}
    )
    assert lost["error"]["code"] == "previous_response_not_found", lost
    hold_answer(fresh)


async def over_a_socket_what_was_never_there_is_missed(server):
    (lost,) = await server.talk({"input": "Go on.", "previous_response_id": f"resp_missing_{time.time_ns()}"})
    assert lost["error"]["code"] == "previous_response_not_found", lost


async def over_a_socket_a_failure_drops_what_was_gone_on_from(server):
    nobody = {"type": "function_call_output", "call_id": "call_of_nobody", "output": "Nobody called."}
    first, failed, lost = await server.talk(
        {"input": "Remember the word ember."},
        lambda first: {"input": [nobody], "previous_response_id": first["id"]},
        lambda first, _: {"input": "Which word?", "previous_response_id": first["id"]},
    )
    hold_answer(first)
    assert failed.get("type") == "error" or failed["status"] == "failed", failed
    assert lost["error"]["code"] == "previous_response_not_found", lost


async def over_a_socket_what_was_made_short_begins_a_new_chain(server):
    made = await server.compact(
        [
            says([{"type": "input_text", "text": "Remember the word slate."}]),
            says([{"type": "output_text", "text": "Fine."}], "assistant"),
            says([{"type": "input_text", "text": "Make this short, to go on later."}]),
        ]
    )
    onward = [*made["output"], says("Go on from here.")]
    (response,) = await server.talk({"input": onward, "tools": []})
    hold_answer(response)


async def a_system_message_is_taken(server):
    hold_answer(await server.respond([says("Speak as a pirate.", "system"), says("Say hello.")]))


async def a_call_of_a_clients_tool_is_handed_back(server):
    said = [says("What is the weather in Oslo? calls=1")]
    response = await server.respond(said, tools=[WEATHER])
    calls = [item["name"] for item in response["output"] if item["type"] == "function_call"]
    assert calls == ["get_weather"], response
    events, _ = await server.stream(said, tools=[WEATHER])
    kinds = [event["type"] for event in events]
    assert "response.function_call_arguments.delta" in kinds
    assert "response.function_call_arguments.done" in kinds


async def a_picture_is_taken(server):
    said = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": PICTURE}]
    hold_answer(await server.respond([says(said)]))


async def what_was_said_before_is_taken(server):
    hold_answer(
        await server.respond([says("I am Ada."), says("Hello Ada.", "assistant"), says("What is my name?")])
    )


async def a_conversation_is_made_short(server):
    made = await server.compact(
        [says("We launch on Tuesday."), says("Noted: Tuesday.", "assistant")], prompt_cache_key="a-key"
    )
    assert made["object"] == "response.compaction"
    assert "compaction" in [item["type"] for item in made["output"]]


async def without_a_model_nothing_is_made_short(server):
    reply = await server.post("/responses/compact", {"input": [says("Make this short.")]}, status=400)
    assert reply.json()["error"]["message"]


CHECKS = (
    a_text_is_answered,
    what_was_said_may_tell_its_phase,
    the_document_knows_phases_of_the_output,
    a_stream_is_typed_events,
    over_a_socket_a_text_is_answered,
    over_a_socket_one_follows_another,
    over_a_socket_what_is_not_stored_is_gone_on_from,
    over_another_socket_what_is_not_stored_is_gone,
    over_a_socket_what_was_never_there_is_missed,
    over_a_socket_a_failure_drops_what_was_gone_on_from,
    over_a_socket_what_was_made_short_begins_a_new_chain,
    a_system_message_is_taken,
    a_call_of_a_clients_tool_is_handed_back,
    a_picture_is_taken,
    what_was_said_before_is_taken,
    a_conversation_is_made_short,
    without_a_model_nothing_is_made_short,
)


async def main(address, key, model, document):
    """Every check, whatever became of the one before; returns how many failed."""
    server, failed = Server(address, key, model, Document(document)), 0
    for check in CHECKS:
        try:
            await check(server)
        except (AssertionError, OSError, httpx.HTTPError, websockets.WebSocketException) as error:
            failed += 1
            sys.stderr.write(f"{check.__name__}: {type(error).__name__}: {error}\n")
        else:
            sys.stdout.write(f"{check.__name__}\n")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(*sys.argv[1:])) else 0)
