"""Tools as a model sees them: the specification, the call and the result.

A *skill* is what a plugin contributes (agent-skills); a *tool* is how the model sees it. Nothing here runs anything.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from agent_core.json_types import JsonObject
from agent_core.media import Attachment


class Label(StrEnum):
    """What a tool does that a policy cares about."""

    READS_PRIVATE = "reads_private"
    RETURNS_UNTRUSTED = "returns_untrusted"
    SENDS_OUT = "sends_out"
    DESTROYS = "destroys"


class ArgumentRole(StrEnum):
    """What an argument decides, so that a policy knows whose word it may be."""

    DESTINATION = "destination"
    """Who or what receives: a person, an account, an address that is written to."""
    CHOICE = "choice"
    """What only the person chooses, such as a password, or what is booked in their name and costs them."""
    SOURCE = "source"
    """Where something is read from, such as a page: it matters once there is something private to carry away."""
    TARGET = "target"
    """What is done, and to what. An argument that nothing is said of counts as one."""
    CONTENT = "content"
    """What is said or stored: it may come from anywhere, for who receives it was decided by another argument."""


class FieldLabel(StrEnum):
    """What a field of a tool's result is, apart from the labels of the tool."""

    TRUSTED = "trusted"
    """The service itself gave it, such as an id or a time: nobody else wrote it, though the result is untrusted."""
    SECRET = "secret"  # noqa: S105 - a word, no secret
    """A password, the number of a card: it leaves only with the person's word."""
    NAME = "name"
    """What people call the item by that holds the field: a title, the name of a file, an amount that was paid."""
    PARTICIPANT = "participant"
    """Who takes part in the item, such as who is invited or whom a file is shared with: trusted where the person named the
    item, and else whoever made the item may have put them there."""


class ToolExample(msgspec.Struct, frozen=True, kw_only=True):
    """One utterance of a person and the arguments it should lead to: few-shot material for weak models."""

    utterance: str
    arguments: JsonObject


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is told of a tool, and what the machine must know to call it safely."""

    name: str
    description: str
    parameters: JsonObject
    """JSON schema (draft 2020-12) of the arguments; the root is an object."""
    examples: tuple[ToolExample, ...] = ()
    labels: tuple[Label, ...] = ()
    roles: Mapping[str, ArgumentRole] = {}
    """By argument. Where any is given, a policy looks at each argument of the tool; see `policy`."""
    fields: Mapping[str, FieldLabel] = {}
    """Of a result that is JSON, by path; see `fields`. `*.id` is the field `id` of each item, `*[status=sent].to` that of the
    items that were sent. What is not named has the tool's labels."""
    idempotent: bool = False
    """True: calling again with the same arguments does no harm, so no intent is journaled before it."""
    timeout_s: float = 30.0
    asks: str = ""
    """The argument that holds a question for a person: the call is not run, and the person's reply is its result."""
    finds_tools: bool = False
    """Its result is a list of objects in JSON, each with the `name` of a tool: those are offered from then on; see `found_tools`."""
    calls_tools: bool = False
    """While it runs it may call the other tools, by `ToolContext.tools`; see `inner_calls`."""
    answer: str = ""
    """How a weak model's answer is composed from the result: a `str.format` template over the arguments and
    `result`. Empty: the result itself is the answer."""

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be run again without asking: it is idempotent, and calls no others, which may be anything."""
        return self.idempotent and not self.calls_tools


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The values that one argument may take, as a skill read them in the request before any model is asked."""

    argument: str
    values: tuple[str, ...]
    log_weights: tuple[float, ...] = ()
    """For each value a number <= 0: the larger, the likelier it is by the examples. Empty: nothing is known."""


class ToolOffer(msgspec.Struct, frozen=True, kw_only=True):
    """A tool proposed for one request, best first: what `ToolRunner.specs(query)` returns."""

    spec: ToolSpec
    score: float = 0.0
    """How well the tool fits the request, 0 to 1."""
    proposed: bool = False
    """True for the one tool that a router would call. Only the routed mode looks at this and what follows."""
    request: str = ""
    """The request as the skill rewrote it for the model, such as digits for number words. Empty: as it stands."""
    shots: tuple[ToolExample, ...] = ()
    """The examples nearest to the request, nearest first, rewritten in the same way."""
    readings: tuple[Reading, ...] = ()


class ToolCall(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type", tag="call"
):
    """A model's wish to call a tool."""

    tool_call_id: str = msgspec.field(name="id")
    name: str
    arguments: JsonObject
    malformed: str = ""
    """The text of the arguments where it was not a JSON object; such a call is refused with that text."""
    signature: str = ""
    """The provider's seal of this call, to be sent back unchanged."""
    namespace: str = ""
    """The group that the provider found the tool in, where it searches tools by itself; sent back unchanged."""


class ToolResult(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="result",
):
    """What came back, as the model will read it."""

    tool_call_id: str = msgspec.field(name="call")
    content: str
    error: str = ""
    """A stable code (`timeout`, `invalid_arguments`, ...) where the tool failed, else empty."""
    retryable: bool = False
    """True where the same call may succeed if made again."""
    labels: tuple[Label, ...] = ()
    fields: Mapping[str, FieldLabel] = {}
    """Those of the tool; see `ToolSpec`."""
    attachments: tuple[Attachment, ...] = ()
    """Pictures and files that came back beside the text, for models that look at them."""

    @property
    def is_error(self) -> bool:
        """True where the tool failed; `content` then says why, in words for the model."""
        return bool(self.error)
