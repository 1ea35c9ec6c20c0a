"""The error tree of agent-skills.

SkillError                        the root, below agent_core's AgentError
├── SkillDefinitionError          a function that cannot be a skill: its author must change it
├── PluginRefusedError            a plugin that was not registered: the reason says why
├── DuplicateSkillError           two plugins bring a skill of one name
├── InvalidArgumentsError         arguments that do not fit the skill's schema: the model's to mend
├── SkillFailedError              raised by skills: its text is for the model
├── SkillTimeoutError             a skill took longer than it may
├── SkillBusyError                too many calls of one skill are still running
├── UnreadableResultError         a skill returned what is no text and no JSON
├── SkillCrashedError             a skill in a worker raised what it did not mean to
├── WorkerDiedError               the process that served a call ended, or said more than it may
└── IsolationError                a level of isolation is missing here, or could not be entered

None but the first three and the last leaves the runner: they become results with a stable code (`agent_skills.runner`).
"""

from agent_core.errors import AgentError


class SkillError(AgentError):
    """The root of the errors of agent-skills."""


class SkillDefinitionError(SkillError):
    """A function that cannot be a skill."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name!r} cannot be a skill: {problem}")
        self.name = name
        self.problem = problem


class PluginRefusedError(SkillError):
    """A plugin that was not registered; nothing of it stays behind."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(f"plugin {plugin!r} was refused: {reason}")
        self.plugin = plugin
        self.reason = reason


class DuplicateSkillError(SkillError):
    """Two plugins bring a skill of one name; the first keeps it."""

    def __init__(self, skill: str, first_plugin: str, second_plugin: str) -> None:
        super().__init__(
            f"skill {skill!r} of plugin {second_plugin!r} is there already, from plugin {first_plugin!r}; "
            "rename one, or deny one of the two plugins"
        )
        self.skill = skill
        self.first_plugin = first_plugin
        self.second_plugin = second_plugin


class InvalidArgumentsError(SkillError):
    """Arguments that do not fit the schema of a skill."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{reason} at {path}")
        self.path = path
        """A JSON path such as `$.count`; `$` is the arguments object itself."""
        self.reason = reason


class SkillFailedError(SkillError):
    """Raised by a skill to tell the model what went wrong. The text reaches the model as it is.

    Of any other exception the model learns the type's name alone, as its text may hold secrets or paths.
    """

    def __init__(self, message: str, *, code: str = "skill_failed", retryable: bool = False) -> None:
        """`code` is stable and for programs; `retryable`: the same call may succeed if made again."""
        super().__init__(message)
        self.code = code
        self.may_pass = retryable


class SkillTimeoutError(SkillError):
    """A skill took longer than it may."""

    retryable = True

    def __init__(self, skill: str, timeout_s: float) -> None:
        super().__init__(f"{skill} did not finish within {timeout_s:g} s and was stopped")
        self.skill = skill
        self.timeout_s = timeout_s


class SkillBusyError(SkillError):
    """Too many calls of one blocking skill are still running, abandoned ones among them."""

    retryable = True

    def __init__(self, skill: str, running: int) -> None:
        super().__init__(f"{running} calls of {skill} are still running; try again later")
        self.skill = skill
        self.running = running


class UnreadableResultError(SkillError):
    """A skill returned something that is no text and cannot be written as JSON."""

    def __init__(self, skill: str, type_name: str) -> None:
        super().__init__(
            f"{skill} returned a {type_name}, which is no text and no JSON; nothing can be shown"
        )
        self.skill = skill
        self.type_name = type_name


class SkillCrashedError(SkillError):
    """A skill in a worker raised what it did not mean to. The trace is for the log, not for the model."""

    def __init__(self, skill: str, type_name: str, trace: str) -> None:
        super().__init__(f"{skill} failed with an internal error ({type_name})")
        self.skill = skill
        self.type_name = type_name
        self.trace = trace


class WorkerDiedError(SkillError):
    """The process that served a call ended before its answer, or said more than it may."""

    def __init__(self, skill: str, reason: str) -> None:
        super().__init__(f"the worker of {skill} ended without an answer ({reason})")
        self.skill = skill
        self.reason = reason


class IsolationError(SkillError):
    """A level of isolation is missing on this machine, or could not be entered; nothing ran."""
