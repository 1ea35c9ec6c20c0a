"""The skills that are there: a typed face over pluggy. A plugin is registered whole or not at all.

Does not look for plugins (`discovery` does) and runs no skill (`runner` does).
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import pluggy

from agent_skills import hookspecs
from agent_skills.errors import DuplicateSkillError, PluginRefusedError, SkillError
from agent_skills.needs import Level
from agent_skills.skill import AnySkill, Skill

MAX_REASON_CHARS = 400
"""Characters of a foreign exception that a report shows."""

Missing = Callable[[Level], str]
"""Why a level is missing on this machine; empty where it is there."""


class SkillRegistry:
    """The registered plugins and their skills. Belongs to one event loop; not for several threads at once."""

    def __init__(
        self,
        *,
        missing: Missing | None = None,
        elsewhere: bool = False,
        allow: Collection[str] | None = None,
        deny: Collection[str] = (),
    ) -> None:
        """An empty registry.

        Args:
            missing: knows which levels this machine has (`Levels.missing`); without it, no sandbox is there.
            elsewhere: this registry only describes what another process will run, so no level is asked for.
            allow: names of the skills that plugins may register; None allows all. Others are left out.
            deny: names of skills that are left out; it wins over `allow`.
        """
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._missing = missing or _no_sandbox
        self._elsewhere = elsewhere
        self._allow = allow
        self._deny = deny
        self._left_out: set[str] = set()
        self._plugins: dict[str, tuple[str, ...]] = {}
        self._skills: dict[str, AnySkill] = {}
        self._owners: dict[str, str] = {}
        self._revision = 0

    @property
    def revision(self) -> int:
        """Another number after each change: whoever keeps something built from the skills compares it."""
        return self._revision

    @property
    def plugins(self) -> Mapping[str, tuple[str, ...]]:
        """Each plugin's name and the names of its skills, in the order of registration."""
        return MappingProxyType(self._plugins)

    @property
    def left_out(self) -> Sequence[str]:
        """The names of skills that a plugin offered and that are not allowed, sorted."""
        return sorted(self._left_out)

    def skills(self) -> Sequence[AnySkill]:
        """All skills, in the order of registration."""
        return tuple(self._skills.values())

    def get(self, name: str) -> AnySkill | None:
        """The skill of that name, or None."""
        return self._skills.get(name)

    def owner(self, skill: str) -> str:
        """The plugin that brought the skill of that name; empty where there is none."""
        return self._owners.get(skill, "")

    def register(self, name: str, plugin: object) -> tuple[str, ...]:
        """Register a plugin (a module or an object with hooks) under `name`; returns the names of its skills.

        Raises:
            PluginRefusedError: a name that is taken, an unknown or missing hook, a hook of the wrong form, a
                duplicate skill, a level of isolation that is missing here, or anything that the plugin raised.
                Nothing of the plugin stays behind.
        """
        self._assert_free(name)
        try:
            self._admit(name, plugin)
            staged = self._collect(name)
        except (Exception, SystemExit) as error:
            self._expel(name)
            raise PluginRefusedError(name, reason_of(error)) from error
        return self._accept(name, staged)

    def mount(self, name: str, skills: Sequence[AnySkill]) -> tuple[str, ...]:
        """Register skills that no hook of this process brings: those of a plugin that runs elsewhere, or of a server.

        Raises:
            PluginRefusedError: a name that is taken, a duplicate skill, or a level that is missing here.
        """
        self._assert_free(name)
        staged: dict[str, AnySkill] = {}
        try:
            for skill in skills:
                self._stage(name, skill, staged)
        except SkillError as error:
            raise PluginRefusedError(name, str(error)) from error
        return self._accept(name, staged)

    def unregister(self, name: str) -> None:
        """Take a plugin and its skills away. Calls that are running go on to their end: `SkillRunner.drain` waits.

        Raises:
            SkillError: no plugin has that name.
        """
        if name not in self._plugins:
            raise SkillError(
                f"no plugin {name!r} is registered; there are: {', '.join(self._plugins) or 'none'}"
            )
        for skill in self._plugins.pop(name):
            del self._skills[skill], self._owners[skill]
        self._expel(name)
        self._revision += 1

    def _assert_free(self, name: str) -> None:
        if name in self._plugins:
            raise PluginRefusedError(name, "a plugin of this name is registered already")

    def _accept(self, name: str, staged: Mapping[str, AnySkill]) -> tuple[str, ...]:
        self._plugins[name] = tuple(staged)
        self._skills.update(staged)
        self._owners.update(dict.fromkeys(staged, name))
        self._revision += 1
        return self._plugins[name]

    def _admit(self, name: str, plugin: object) -> None:
        if inspect.isclass(plugin):
            raise SkillError("it is a class; give a module or an instance")
        self._manager.register(plugin, name)
        self._manager.check_pending()
        hook = _own_hook(self._manager, name)
        if hook.hookwrapper or hook.wrapper or inspect.iscoroutinefunction(hook.function):
            raise SkillError("its register_skills must be a plain function, neither async nor a wrapper")
        if "register" not in hook.argnames:
            raise SkillError("its register_skills takes no argument `register`")

    def _collect(self, name: str) -> dict[str, AnySkill]:
        """Call the plugin's hook alone: pluggy's own call of all plugins ends at the first that raises."""
        staged: dict[str, AnySkill] = {}
        is_open = True

        def register(skill: AnySkill) -> None:
            if not is_open:
                raise SkillError(f"plugin {name!r} called `register` after its hook had returned")
            self._stage(name, skill, staged)

        try:
            _own_hook(self._manager, name).function(register=register)
        finally:
            is_open = False
        return staged

    def _stage(self, plugin: str, skill: AnySkill, staged: dict[str, AnySkill]) -> None:
        # Plugins are not type-checked by us, whatever the annotation says.
        if not isinstance(skill, Skill):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SkillError(
                f"`register` was given a {type(skill).__name__}; decorate the function with @skill"
            )
        name = skill.spec.name
        if name in self._deny or (self._allow is not None and name not in self._allow):
            self._left_out.add(name)
            return
        first = self._owners.get(name) or (plugin if name in staged else "")
        if first:
            raise DuplicateSkillError(name, first, plugin)
        if not self._elsewhere and skill.needs.level > Level.IN_PROCESS:
            self._assert_level(skill)
        staged[name] = skill

    def _assert_level(self, skill: AnySkill) -> None:
        name, level = skill.spec.name, skill.needs.level
        if skill.home is None and not skill.target:
            raise SkillError(f"no worker can import {name!r}: define it at the top of a module")
        missing = self._missing(level)
        if missing:
            raise SkillError(f"{name!r} needs the level {level.name}, which is not here: {missing}")

    def _expel(self, name: str) -> None:
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)


def _own_hook(manager: pluggy.PluginManager, plugin: str) -> pluggy.HookImpl:
    for hook in manager.hook.register_skills.get_hookimpls():
        if hook.plugin_name == plugin:
            return hook
    raise SkillError("it has no hook `register_skills`; mark the function with @hookimpl")


def _no_sandbox(level: Level) -> str:
    return "" if level < Level.SANDBOX else "nobody looked what this machine has: pass levels=await probe()"


def reason_of(error: BaseException) -> str:
    """An exception in one line, for reports: its own words if it is ours, else its type as well."""
    if isinstance(error, SkillError):
        return str(error)
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")
    return text if len(text) <= MAX_REASON_CHARS else f"{text[:MAX_REASON_CHARS]}..."
