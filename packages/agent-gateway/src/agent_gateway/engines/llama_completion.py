"""Raw completions of llama.cpp: text continued without a chat template, and the likeliest of several texts.

Pure but for the `ask` that it is given: a request's fields in, the reply's chunks out, in whatever thread it is called.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from agent_core.chat import Choice, Completion, Constraint, JsonSchema, ModelRequest
from agent_core.messages import FinishReason, Usage, assistant
from agent_gateway.compat import Compat
from agent_gateway.dialects.constraints import choice_grammar, constraint_fields
from agent_gateway.engines.likeliest import Likeliest, Place, Token
from agent_gateway.errors import ProviderRefusedError, ProviderUnavailableError
from agent_gateway.failures import Target, failure

Ask: TypeAlias = Callable[[Mapping[str, object]], Sequence[bytes]]
"""Each chunk is a JSON object. Streamed, because only between two chunks can a request be stopped."""

_BRANCHES = 40
"""Likeliest tokens looked at beside each one taken."""
_BRANCHES_OF_ONE = 1_000
"""The same where one place is looked at by itself, which is where characters are made of several tokens."""
_MOST_QUESTIONS = 12


class _Logprobs(msgspec.Struct):
    content: list[Token] = []


class _Choice(msgspec.Struct):
    text: str = ""
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Details(msgspec.Struct):
    cached_tokens: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details = msgspec.field(default_factory=_Details)


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage = msgspec.field(default_factory=_Usage)


class _Reply(msgspec.Struct):
    text: str = ""
    finish_reason: str = "stop"
    tokens: list[Token] = []


class RawCompletion:
    """One raw request to one engine; keeps count of the tokens."""

    def __init__(self, ask: Ask, target: Target, compat: Compat) -> None:
        self._ask = ask
        self._target = target
        self._compat = compat
        self._usage = Usage()

    def complete(self, request: ModelRequest) -> Completion:
        """Continue the messages' text as the request says.

        Raises:
            ModelError: what the engine says is wrong, such as a prompt over the context.
            ProviderRefusedError: a choice without values, or with weights that are none.
        """
        prompt = "".join(message.text for message in request.messages)
        if isinstance(request.constraint, Choice):
            return self._completion(self._likeliest(prompt, request.constraint), "stop")
        fields: dict[str, object] = {
            "prompt": prompt,
            "n_predict": request.max_output_tokens,
            "temperature": request.temperature or 0.0,
        }
        if request.stop:
            fields["stop"] = list(request.stop)
        if request.repeat_penalty is not None and self._compat.repeat_penalty_field:
            fields[self._compat.repeat_penalty_field] = request.repeat_penalty
        reply = self._question({**fields, **self._constraint(request.constraint)})
        return self._completion(reply.text, reply.finish_reason)

    def _constraint(self, constraint: Constraint | None) -> Mapping[str, object]:
        match constraint:
            case None:
                return {}
            case JsonSchema():
                return {"json_schema": constraint.schema}
            case _:
                return constraint_fields(constraint, self._compat)

    def _completion(self, text: str, finish_reason: str) -> Completion:
        return Completion(
            message=assistant(text),
            model=self._target.model,
            finish_reason=FinishReason.LENGTH if finish_reason == "length" else FinishReason.STOP,
            usage=self._usage,
        )

    def _likeliest(self, prompt: str, choice: Choice) -> str:
        try:
            search = Likeliest(choice.values, choice.log_weights)
        except ValueError as error:
            raise ProviderRefusedError(self._target.where, str(error)) from error
        for _ in range(_MOST_QUESTIONS):
            place = search.next_place()
            if place is None:
                break
            try:
                search.learn(place, self._look(prompt, place, search))
            except (
                ProviderRefusedError
            ):  # characters that the model has no token for: the other values remain
                if not search.has_found:
                    raise
        return search.answer()

    def _look(self, prompt: str, place: Place, search: Likeliest) -> list[Token]:
        """The model's likelihoods at one place, or along the greedy way from there to the end of a value."""
        text = prompt + place.base.decode()
        if place.alone:
            # Likelihoods are those before the grammar, so any grammar will do that makes the engine write a whole
            # character: it tells nothing of a token that ends within one.
            only = {"grammar": choice_grammar(["\n"]), "n_predict": 1, "n_probs": _BRANCHES_OF_ONE}
            return self._question({"prompt": [text, *place.tail] if place.tail else text, **only}).tokens
        rest = search.rest(place)
        longest = max(len(value.encode()) for value in rest)
        way = {"grammar": choice_grammar(rest), "n_predict": longest + 1, "n_probs": _BRANCHES}
        return self._question({"prompt": text, **way}).tokens

    def _question(self, fields: Mapping[str, object]) -> _Reply:
        asked = {"temperature": 0.0, **fields, "cache_prompt": True, "stream": True, "return_progress": True}
        reply = _Reply()
        for body in self._ask(asked):
            try:
                chunk = msgspec.json.decode(body, type=_Chunk)
            except msgspec.DecodeError as error:
                reason = f"its reply is no reply: {error}"
                raise ProviderUnavailableError(self._target.where, reason) from error
            if not chunk.choices:
                raise failure(self._target, body)
            self._count(chunk.usage)
            (choice, *_) = chunk.choices
            reply.text += choice.text
            reply.finish_reason = choice.finish_reason or reply.finish_reason
            reply.tokens += choice.logprobs.content if choice.logprobs else ()
        return reply

    def _count(self, usage: _Usage) -> None:
        cached = usage.prompt_tokens_details.cached_tokens
        self._usage += Usage(
            input_tokens=usage.prompt_tokens - cached,
            cached_input_tokens=cached,
            output_tokens=usage.completion_tokens,
        )
