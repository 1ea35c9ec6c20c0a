"""The typed events of a response, written from what is said: numbered, each item opened, told and closed."""

from collections.abc import Iterable, Iterator
from typing import cast

import msgspec

from agent_api.openai.chat_reply import arguments_of
from agent_api.openai.resource import Response, ended, failed
from agent_api.openai.responses_request import Item
from agent_api.openai.run_talk import Told
from agent_api.openai.talk import BrokenOff, Ended, Said, Turn
from agent_core.chat import ReasoningDelta, TextDelta
from agent_core.errors import AgentError
from agent_core.messages import Message, Reasoning, Text
from agent_core.tools import ToolCall

Event = dict[str, object]


class ResponseWriter:
    """Writes one response. `response` is how far it has come; its items are named by their place, so twice is the same."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self._output: list[Item] = []
        self._number = -1
        self._open = ""
        """The kind of the item under way: `message`, `reasoning`, or none."""
        self._told = ""

    @property
    def count(self) -> int:
        """How many events there were."""
        return self._number + 1

    def begin(self) -> list[Event]:
        """The events before anything is said."""
        return [self._state("response.created"), self._state("response.in_progress")]

    def restore(self, events: Iterable[Event]) -> None:
        """Go on behind events that were written before."""
        for event in events:
            self._number += 1
            match event["type"]:
                case "response.output_item.added":
                    kind = str(cast("Item", event["item"])["type"])
                    self._open, self._told = kind, ""
                case "response.output_text.delta" | "response.reasoning_summary_text.delta":
                    self._told += str(event["delta"])
                case "response.output_item.done":
                    self._output.append(cast("Item", event["item"]))
                    self._open, self._told = "", ""
                case _:
                    pass

    def told(self, seq: int) -> Told:
        """How far it has come, behind event `seq` of its run."""
        match self._open:
            case "message" | "reasoning" as kind:
                return Told(seq=seq, kind=kind, text=self._told)
            case _:
                return Told(seq=seq)

    def say(self, said: Said | BrokenOff) -> Iterator[Event]:
        """The events of one thing that is said."""
        match said:
            case BrokenOff():
                yield from self._close(self._told, status="incomplete")
            case TextDelta(text=text):
                yield from self._tell("message", text)
            case ReasoningDelta(text=text):
                yield from self._tell("reasoning", text)
            case Turn(message=message):
                yield from self._turn(message)
            case Ended(finish_reason=finish_reason, usage=usage):
                self.response = ended(self.response, self._output, finish_reason, usage)
                yield self._state(f"response.{self.response.status}")
            case _:
                return

    def fail(self, error: AgentError) -> list[Event]:
        """The events of a failure in the middle."""
        self.response = failed(self.response, self._output, str(error))
        return [self._state("response.failed")]

    def _turn(self, message: Message) -> Iterator[Event]:
        thoughts = "".join([part.text for part in message.parts if isinstance(part, Reasoning)])
        text = "".join([part.text for part in message.parts if isinstance(part, Text) and not part.refusal])
        refusal = "".join([part.text for part in message.parts if isinstance(part, Text) and part.refusal])
        has_thought = any(item["type"] == "reasoning" for item in self._output[-1:])
        if thoughts and not has_thought and self._open == "":
            yield from self._tell("reasoning", thoughts)
        if self._open == "message" or text:
            if self._open != "message":
                yield from self._tell("message", text)
            yield from self._close(text or self._told)
        else:
            yield from self._close(thoughts)
        if refusal:
            yield from self._refuse(refusal)
        for call in message.tool_calls:
            yield from self._call(call)

    def _tell(self, kind: str, text: str) -> Iterator[Event]:
        if not text:
            return
        if self._open != kind:
            yield from self._close(self._told)
            yield from self._start(kind)
        self._told += text
        part = {"content_index": 0} if kind == "message" else {"summary_index": 0}
        name = "output_text" if kind == "message" else "reasoning_summary_text"
        more: dict[str, object] = {"logprobs": []} if kind == "message" else {}
        yield self._event(f"response.{name}.delta", **self._item_place(), **part, delta=text, **more)

    def _start(self, kind: str) -> Iterator[Event]:
        self._open, self._told = kind, ""
        if kind == "message":
            yield self._added(_message(self._item_id, "in_progress", []))
            yield self._event(
                "response.content_part.added", **self._item_place(), content_index=0, part=_text("")
            )
        else:
            yield self._added({"type": "reasoning", "id": self._item_id, "summary": []})
            yield self._event(
                "response.reasoning_summary_part.added",
                **self._item_place(),
                summary_index=0,
                part=_summary(""),
            )

    def cancel(self) -> list[Event]:
        """The events of a response that somebody cancelled. The protocol has none of that name: it says that it is incomplete."""
        self.response = msgspec.structs.replace(self.response, status="cancelled", output=self._output)
        return [self._state("response.incomplete")]

    def _close(self, text: str, *, status: str = "completed") -> Iterator[Event]:
        kind, self._open = self._open, ""
        if kind == "message":
            place = {**self._item_place(), "content_index": 0}
            yield self._event("response.output_text.done", **place, text=text, logprobs=[])
            yield self._event("response.content_part.done", **place, part=_text(text))
            yield self._done(_message(self._item_id, status, [_text(text)]))
        elif kind == "reasoning":
            place = {**self._item_place(), "summary_index": 0}
            yield self._event("response.reasoning_summary_text.done", **place, text=text)
            yield self._event("response.reasoning_summary_part.done", **place, part=_summary(text))
            yield self._done({"type": "reasoning", "id": self._item_id, "summary": [_summary(text)]})

    def _refuse(self, refusal: str) -> Iterator[Event]:
        place = {**self._item_place(), "content_index": 0}
        part: Item = {"type": "refusal", "refusal": refusal}
        yield self._added(_message(self._item_id, "in_progress", []))
        yield self._event("response.content_part.added", **place, part={"type": "refusal", "refusal": ""})
        yield self._event("response.refusal.delta", **place, delta=refusal)
        yield self._event("response.refusal.done", **place, refusal=refusal)
        yield self._event("response.content_part.done", **place, part=part)
        yield self._done(_message(self._item_id, "completed", [part]))

    def _call(self, call: ToolCall) -> Iterator[Event]:
        arguments = arguments_of(call)
        item: Item = {
            "type": "function_call",
            "id": self._item_id,
            "call_id": call.tool_call_id,
            "name": call.name,
            "arguments": "",
            "status": "in_progress",
        }
        yield self._added(item)
        name = "response.function_call_arguments"
        yield self._event(f"{name}.delta", **self._item_place(), delta=arguments)
        yield self._event(f"{name}.done", **self._item_place(), name=call.name, arguments=arguments)
        yield self._done({**item, "arguments": arguments, "status": "completed"})

    @property
    def _item_id(self) -> str:
        return f"item_{self.response.id.partition('_')[2]}_{len(self._output)}"

    def _item_place(self) -> dict[str, object]:
        return {"item_id": self._item_id, "output_index": len(self._output)}

    def _added(self, item: Item) -> Event:
        return self._event("response.output_item.added", output_index=len(self._output), item=item)

    def _done(self, item: Item) -> Event:
        event = self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._told = ""
        return event

    def _state(self, name: str) -> Event:
        return self._event(name, response=msgspec.to_builtins(self.response))

    def _event(self, name: str, /, **fields: object) -> Event:
        self._number += 1
        return {"type": name, "sequence_number": self._number, **fields}


def _message(item_id: str, status: str, content: list[Item]) -> Item:
    return {"type": "message", "id": item_id, "status": status, "role": "assistant", "content": content}


def _text(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> Item:
    return {"type": "summary_text", "text": text}
