"""One attempt at one tool call, until its deadline. Whatever goes wrong is a result: a broken tool takes no sibling along."""

from msgspec.structs import replace

from agent_core import deadline
from agent_core.ports import ToolContext, ToolRunner
from agent_core.tools import ToolCall, ToolResult, ToolSpec


async def attempt(
    tools: ToolRunner,
    call: ToolCall,
    spec: ToolSpec | None,
    context: ToolContext,
    scope: "deadline.Scope | None" = None,
) -> ToolResult:
    """The result of a call. A tool that does not end by its deadline is left behind as cancelled.

    `scope` is one that this task is in and that may be cancelled instead; see `deadline.within`.
    """
    try:
        work = tools.run(call, context)
        if spec is not None:
            work = deadline.within(spec.timeout_s, work, scope)
        result = await work
        if result.tool_call_id != call.tool_call_id:  # it would be stale, and the tool called for ever
            result = replace(result, tool_call_id=call.tool_call_id)
    except deadline.LateError:
        return timed_out(call, spec)
    except Exception as error:  # noqa: BLE001  # a broken tool runner must not take its siblings' results along
        content = f"The tool crashed: {type(error).__name__}: {error}"
        return ToolResult(tool_call_id=call.tool_call_id, content=content, error="crashed")
    else:
        return result


def timed_out(call: ToolCall, spec: ToolSpec | None) -> ToolResult:
    """The failure of a call whose tool did not end by its deadline."""
    within = "" if spec is None else f" within {spec.timeout_s:g} s"
    return ToolResult(
        tool_call_id=call.tool_call_id,
        content=f"{call.name} did not end{within} and was stopped.",
        error="timeout",
        retryable=spec is not None and spec.is_repeatable,
    )
