"""Raw completions against a tiny exact language model that replies as llama.cpp does."""

import json
import math
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.chat import Choice, Constraint, Grammar, JsonSchema, ModelRequest
from agent_core.errors import ContextTooLongError
from agent_core.messages import FinishReason, Usage, user
from agent_gateway.compat import LLAMA_CPP
from agent_gateway.engines import llama_completion as module
from agent_gateway.engines.llama_completion import RawCompletion
from agent_gateway.errors import ProviderRefusedError, ProviderUnavailableError
from agent_gateway.failures import Target

TARGET = Target(where="local:tiny (llama.cpp)", model="tiny", context_tokens=100)
ALPHABET = 'ab \\"\n\t' + "éü😀😁"
BYTES = sorted({byte for char in ALPHABET for byte in char.encode()})
LONGER = ["ab", "ba", "bab", "a\n", "é", "aé", "😀", '\\"', "  "]
SPLIT = [b"\xf0\x9f", b"a\xc3", b"\x9f\x98", b"\x80\n"]
VOCABULARY = [bytes([byte]) for byte in BYTES] + [text.encode() for text in LONGER] + SPLIT
ESCAPES = {"\\\\": "\\", '\\"': '"'}


class TinyModel:
    """Gives each token a whole negative number as its log-probability, drawn from the text before it: so sums are
    exact, and ties are common.

    As llama.cpp does it shows the tokens that make up one character as one, with the last token's likelihoods.
    """

    def __init__(self, seed: int, prompt: str = "Q: ") -> None:
        self.seed = seed
        self.prompt = prompt.encode()
        self.asked: list[Mapping[str, Any]] = []

    def logprobs(self, text: bytes) -> list[int]:
        source = random.Random(f"{self.seed} {text!r}")
        return [-source.randint(0, 3) for _ in VOCABULARY]

    def score(self, value: str) -> float:
        """The log-likelihood of the likeliest division of `value` and its newline into tokens."""
        end = value.encode() + b"\n"
        best = [0.0] + [-math.inf] * len(end)
        for at in range(len(end)):
            for token, logprob in zip(VOCABULARY, self.logprobs(self.prompt + end[:at]), strict=True):
                if end.startswith(token, at):
                    best[at + len(token)] = max(best[at + len(token)], best[at] + logprob)
        return best[-1]

    def ask(self, fields: Mapping[str, object]) -> Sequence[bytes]:
        asked = json.loads(json.dumps(fields))
        self.asked.append(asked)
        text, *tail = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
        before = text.encode() + b"".join(VOCABULARY[number] for number in tail)
        texts = [value.encode() for value in literals(asked["grammar"])]
        said, pending, chunks = b"", b"", [chunk()]
        for _ in range(asked["n_predict"]):
            going_on = [one for one in texts if one.startswith(said) and one != said]
            logprobs = self.logprobs(before + said)
            allowed = [
                number
                for number, token in enumerate(VOCABULARY)
                if any(one.startswith(said + token) for one in going_on)
            ]
            if said in texts and (not allowed or self.seed % 2):
                chunks.append(chunk(token(-1, b"", -9.0)))
                break
            taken = max(allowed, key=lambda number: logprobs[number])
            said += VOCABULARY[taken]
            pending += VOCABULARY[taken]
            if is_text(pending):
                order = sorted(range(len(VOCABULARY)), key=lambda number: -logprobs[number])
                top = [token(n, VOCABULARY[n], logprobs[n]) for n in order[: asked["n_probs"]]]
                chunks.append(chunk({**token(taken, pending, logprobs[taken]), "top_logprobs": top}))
                pending = b""
        usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
        return [*chunks, chunk(finish="stop", usage=usage)]


def token(number: int, text: bytes, logprob: float) -> dict[str, Any]:
    return {"id": number, "bytes": list(text), "logprob": logprob}


def chunk(*tokens: dict[str, Any], text: str = "", finish: str | None = None, **fields: Any) -> bytes:
    logprobs = {"content": tokens} if tokens else None
    return json.dumps(
        {"choices": [{"text": text, "finish_reason": finish, "logprobs": logprobs}], **fields}
    ).encode()


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def literals(gbnf: str) -> list[str]:
    """The texts of a grammar that is a choice of literals."""
    rest, found = gbnf.removeprefix("root ::= "), []
    while rest:
        assert rest[0] == '"'
        at, text = 1, ""
        while rest[at] != '"':
            if rest[at] != "\\":
                text, at = text + rest[at], at + 1
            elif rest[at + 1] == "x":
                text, at = text + chr(int(rest[at + 2 : at + 4], 16)), at + 4
            else:
                text, at = text + ESCAPES[rest[at : at + 2]], at + 2
        found.append(text)
        rest = rest[at + 1 :].removeprefix(" | ")
    return found


def complete(ask: module.Ask, constraint: Constraint | None = None, **fields: Any) -> Any:
    request = ModelRequest(messages=(user("Q: "),), raw=True, constraint=constraint, **fields)
    return RawCompletion(ask, TARGET, LLAMA_CPP).complete(request)


def choose(model: TinyModel, values: Sequence[str], weights: Sequence[float] = ()) -> str:
    text = complete(model.ask, Choice(values=tuple(values), log_weights=tuple(weights))).message.text
    assert isinstance(text, str)
    return text


def brute_force(model: TinyModel, values: Sequence[str], weights: Sequence[float]) -> str:
    """The first of the best."""
    scores = [model.score(value) + weight for value, weight in zip(values, weights, strict=True)]
    return values[scores.index(max(scores))]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_QUESTIONS", 100_000)


texts = st.text(alphabet=ALPHABET, max_size=5)
families = st.tuples(texts, st.lists(texts, min_size=1, max_size=4)).map(
    lambda t: [t[0] + end for end in t[1]]
)
choices = st.lists(st.one_of(texts.map(lambda text: [text]), families), min_size=1, max_size=4).map(
    lambda groups: [value for group in groups for value in group]
)
weighted = choices.flatmap(
    lambda values: st.tuples(
        st.just(values), st.lists(st.integers(-6, 0), min_size=len(values), max_size=len(values))
    )
)
seeds = st.integers(0, 10_000)


class TestTheLikeliest:
    @settings(max_examples=400)
    @given(case=weighted, seed=seeds)
    @pytest.mark.usefixtures("patient")
    def test_is_the_one_of_brute_force(self, case: tuple[list[str], list[int]], seed: int) -> None:
        """Ties too: the first of the list wins."""
        values, weights = case
        model = TinyModel(seed)
        assert choose(model, values, weights) == brute_force(model, values, weights)

    @given(case=weighted, seed=seeds)
    def test_is_asked_for_within_the_limit_and_exact_where_that_is_enough(
        self, case: tuple[list[str], list[int]], seed: int
    ) -> None:
        values, weights = case
        model = TinyModel(seed)
        chosen = choose(model, values, weights)
        assert chosen in values
        assert len(model.asked) <= 12
        if len(model.asked) < 12:
            assert chosen == brute_force(model, values, weights)

    @given(case=weighted, seed=seeds)
    def test_is_the_same_every_time(self, case: tuple[list[str], list[int]], seed: int) -> None:
        assert choose(TinyModel(seed), *case) == choose(TinyModel(seed), *case)

    @given(values=st.lists(st.text(alphabet='ab"', max_size=4), min_size=1, max_size=6), seed=seeds)
    def test_need_not_be_among_the_tokens_shown(self, values: list[str], seed: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_MOST_QUESTIONS", 100_000)
            patch.setattr(module, "_BRANCHES", 2)
            patch.setattr(sys.modules[__name__], "VOCABULARY", [bytes([byte]) for byte in BYTES])
            model = TinyModel(seed)
            assert choose(model, values) == brute_force(model, values, [0] * len(values))

    @given(value=texts, seed=seeds)
    def test_of_one_value_is_that_value(self, value: str, seed: int) -> None:
        assert choose(TinyModel(seed), [value, value], [-3, 0]) == value

    @pytest.mark.usefixtures("patient")
    def test_may_begin_with_another_and_go_on_behind_a_newline(self) -> None:
        for seed in range(40):
            model = TinyModel(seed)
            values = ["a", "a\nb", "a\n", "ab", ""]
            assert choose(model, values) == brute_force(model, values, [0] * 5)

    def test_is_what_the_weights_leave(self) -> None:
        for seed in range(20):
            assert choose(TinyModel(seed), ["a", "b", "é"], [-math.inf, 0, -math.inf]) == "b"

    def test_takes_few_questions_where_one_value_stands_out(self) -> None:
        class Sure(TinyModel):
            def logprobs(self, text: bytes) -> list[int]:
                return [-1 if one == {b"Q: ": b"bab"}.get(text, b"\n") else -90 for one in VOCABULARY]

        model = Sure(0)
        assert choose(model, ["aa", "bab", "b", "bb"]) == "bab"
        assert len(model.asked) == 1

    @pytest.mark.parametrize(
        ("values", "weights", "words"),
        [
            ((), (), "at least one value"),
            (("a", "b"), (-1.0,), "one weight"),
            (("a",), (0.5,), "at most 0"),
            (("a",), (math.nan,), "at most 0"),
            (("\udcff",), (), "surrogates"),
        ],
    )
    def test_of_what_is_no_choice_is_refused(
        self, values: tuple[str, ...], weights: tuple[float, ...], words: str
    ) -> None:
        with pytest.raises(ProviderRefusedError, match=words):
            complete(TinyModel(0).ask, Choice(values=values, log_weights=weights))

    def test_usage_adds_up(self) -> None:
        model = TinyModel(3)
        completion = complete(model.ask, Choice(values=("😀", "😁")))
        asked = len(model.asked)
        assert asked > 1
        assert completion.usage == Usage(
            input_tokens=3 * asked, cached_input_tokens=4 * asked, output_tokens=2 * asked
        )
        assert (completion.model, completion.finish_reason) == ("tiny", FinishReason.STOP)


class Recorded:
    """Replies with what the test wrote."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.asked: list[Mapping[str, object]] = []

    def ask(self, fields: Mapping[str, object]) -> Sequence[bytes]:
        self.asked.append(fields)
        return self.chunks


WHOLE = {"cache_prompt": True, "stream": True, "return_progress": True, "prompt": "Q: ", "temperature": 0.0}


class TestContinuing:
    @pytest.mark.parametrize(
        ("request_fields", "sent"),
        [
            ({}, {"n_predict": None}),
            ({"max_output_tokens": 5, "temperature": 0.7}, {"n_predict": 5, "temperature": 0.7}),
            ({"stop": ("\n", "Q:")}, {"n_predict": None, "stop": ["\n", "Q:"]}),
            ({"repeat_penalty": 1.2}, {"n_predict": None, "repeat_penalty": 1.2}),
            (
                {"constraint": Grammar(gbnf="root ::= [0-9]")},
                {"n_predict": None, "grammar": "root ::= [0-9]"},
            ),
            (
                {"constraint": JsonSchema(schema={"type": "object"})},
                {"n_predict": None, "json_schema": {"type": "object"}},
            ),
        ],
    )
    def test_what_is_sent(self, request_fields: dict[str, Any], sent: dict[str, object]) -> None:
        recorded = Recorded(chunk(text="x", finish="stop"))
        complete(recorded.ask, **request_fields)
        assert recorded.asked == [{**WHOLE, **sent}]

    def test_what_comes_back(self) -> None:
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        recorded = Recorded(
            chunk(), chunk(text="wör"), chunk(text="ter"), chunk(finish="length", usage=usage)
        )
        completion = complete(recorded.ask)
        assert completion.message.text == "wörter"
        assert completion.finish_reason is FinishReason.LENGTH
        assert completion.usage == Usage(input_tokens=3, output_tokens=2)

    @pytest.mark.parametrize("constraint", [None, Choice(values=("a", "b"))])
    @pytest.mark.parametrize(
        ("body", "error", "words"),
        [
            (
                {"type": "exceed_context_size_error", "code": 400, "n_prompt_tokens": 120, "n_ctx": 100},
                ContextTooLongError,
                "120",
            ),
            ({"code": 400, "message": "failed to parse grammar"}, ProviderRefusedError, "parse grammar"),
            (
                {
                    "code": 500,
                    "message": "got exception: Unexpected empty grammar stack after accepting piece",
                },
                ProviderRefusedError,
                "no token of the model",
            ),
            ({"code": 503, "message": "Loading model"}, ProviderUnavailableError, "Loading model"),
        ],
    )
    def test_errors(
        self, constraint: Constraint | None, body: dict[str, Any], error: type[Exception], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            complete(Recorded(chunk(), json.dumps({"error": body}).encode()).ask, constraint)

    def test_a_reply_that_is_none(self) -> None:
        with pytest.raises(ProviderUnavailableError, match="no reply"):
            complete(Recorded(b"<html>").ask)
