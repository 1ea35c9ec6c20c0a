"""Raw completions of llama.cpp: text continued without a chat template, and the likeliest of several texts.

Pure but for the `ask` that it is given: a request's fields in, the reply's bytes out, in whatever thread it is called.
"""

import heapq
import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from agent_core.chat import Choice, Completion, Constraint, JsonSchema, ModelRequest
from agent_core.messages import FinishReason, Usage, assistant
from agent_gateway.compat import Compat
from agent_gateway.dialects.constraints import choice_grammar, constraint_fields
from agent_gateway.errors import ProviderUnavailableError
from agent_gateway.failures import Target, failure

Ask: TypeAlias = Callable[[Mapping[str, object]], bytes]

_BRANCHES = 40
"""Likeliest tokens looked at beside each one taken."""
_MOST_QUESTIONS = 12
_END = b"\n"
"""Part of every text to choose from: one that begins another does not win by being short."""


class _Token(msgspec.Struct):
    octets: list[int] = msgspec.field(name="bytes", default_factory=list[int])
    logprob: float = 0.0
    top_logprobs: list["_Token"] = []

    @property
    def text(self) -> bytes:
        return bytes(self.octets)


class _Logprobs(msgspec.Struct):
    content: list[_Token] = []


class _Choice(msgspec.Struct):
    text: str = ""
    finish_reason: str = "stop"
    logprobs: _Logprobs | None = None


class _Details(msgspec.Struct):
    cached_tokens: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details = msgspec.field(default_factory=_Details)


class _Reply(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage = msgspec.field(default_factory=_Usage)
    error: msgspec.Raw = msgspec.Raw()


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
        """
        prompt = "".join(message.text for message in request.messages)
        if isinstance(request.constraint, Choice):
            return self._completion(self._likeliest(prompt, request.constraint), "stop")
        fields = self._constraint(request.constraint)
        reply = self._question(
            {
                "prompt": prompt,
                "n_predict": request.max_output_tokens,
                "temperature": request.temperature or 0.0,
                **({"stop": list(request.stop)} if request.stop else {}),
                **fields,
            }
        )
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
        """The value with the largest likelihood times weight: exact, and in few questions.

        Greedy decoding under the grammar commits to the first token ('19' or '56') before the operation is known,
        and is wrong far more often. One greedy question returns, beside its path, the likelihood of every branch
        that it left; the best branch is followed until none can beat the best whole value. Likelihoods are the
        model's own, before the grammar, so they compare across branches; weights are never positive, so the score of
        a beginning bounds what it can come to.
        """
        weights = choice.log_weights or (0.0,) * len(choice.values)
        ends = {value.encode() + _END: weight for value, weight in zip(choice.values, weights, strict=True)}
        best = (-math.inf, next(iter(ends)))
        open_: list[tuple[float, bytes]] = [(0.0, b"")]
        for _ in range(_MOST_QUESTIONS):
            if not open_ or -open_[0][0] <= best[0]:
                break
            score, prefix = heapq.heappop(open_)
            score = -score
            for token in self._path(prompt, prefix, ends):
                for other in token.top_logprobs:
                    text, reached = prefix + other.text, score + other.logprob
                    if other.text in {b"", token.text} or not _is_open(text, ends):
                        continue
                    if text in ends:
                        best = max(best, (reached + ends[text], text))
                    else:
                        heapq.heappush(open_, (-reached, text))
                score += token.logprob
                prefix += token.text
            if prefix in ends:
                best = max(best, (score + ends[prefix], prefix))
        return best[1].removesuffix(_END).decode()

    def _path(self, prompt: str, prefix: bytes, ends: Mapping[bytes, float]) -> list[_Token]:
        """The tokens of the greedy way from `prefix` to one of `ends`."""
        rest = [end[len(prefix) :].decode() for end in ends if end.startswith(prefix)]
        reply = self._question(
            {
                "prompt": prompt + prefix.decode(),
                "grammar": choice_grammar(rest),
                "n_predict": max(len(end) for end in ends) + 1,
                "n_probs": _BRANCHES,
                "temperature": 0.0,
            }
        )
        return [token for token in reply.logprobs.content if token.octets] if reply.logprobs else []

    def _question(self, fields: Mapping[str, object]) -> _Choice:
        body = self._ask({**fields, "cache_prompt": True, "stream": False})
        try:
            reply = msgspec.json.decode(body, type=_Reply)
        except msgspec.DecodeError as error:
            raise ProviderUnavailableError(self._target.where, f"its reply is no reply: {error}") from error
        if not reply.choices:
            raise failure(self._target, body)
        cached = reply.usage.prompt_tokens_details.cached_tokens
        self._usage += Usage(
            input_tokens=reply.usage.prompt_tokens - cached,
            cached_input_tokens=cached,
            output_tokens=reply.usage.completion_tokens,
        )
        return reply.choices[0]


def _is_open(text: bytes, ends: Mapping[bytes, float]) -> bool:
    """Whether `text` begins one of `ends`, and ends with a whole character, as a prompt must."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return any(end.startswith(text) for end in ends)
