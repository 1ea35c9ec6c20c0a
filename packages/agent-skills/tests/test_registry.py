import pytest

from agent_skills import SkillError, SkillRegistry, hookimpl, skill
from agent_skills.errors import DuplicateSkillError, PluginRefusedError


def make(name):
    @skill(name=name)
    def function() -> str:
        """Say who it is."""
        return name

    return function


class Plugin:
    def __init__(self, *names, after=None):
        self._names = names
        self._after = after
        self.register = None

    @hookimpl
    def register_skills(self, register):
        self.register = register
        for name in self._names:
            register(make(name))
        if self._after:
            raise self._after


def names(registry):
    return [one.spec.name for one in registry.skills()]


def test_a_plugin_brings_its_skills_and_takes_them_along():
    registry = SkillRegistry()
    assert registry.register("one", Plugin("a", "b")) == ("a", "b")
    revision = registry.revision
    assert registry.register("two", Plugin("c")) == ("c",)
    assert registry.revision != revision
    assert names(registry) == ["a", "b", "c"]
    assert registry.plugins == {"one": ("a", "b"), "two": ("c",)}
    registry.unregister("one")
    assert names(registry) == ["c"]
    assert registry.get("a") is None
    assert registry.register("one", Plugin("a")) == ("a",)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"deny": ("a",)}, ["b"]),
        ({"allow": ("a",)}, ["a"]),
        ({"allow": ("a", "b"), "deny": ("b",)}, ["a"]),
        ({"allow": ()}, []),
    ],
)
def test_skills_that_are_not_allowed_are_left_out_however_they_come(lists, expected):
    registry = SkillRegistry(**lists)
    assert [*registry.register("one", Plugin("a", "b"))] == expected
    assert names(registry) == expected
    assert registry.left_out == [name for name in ("a", "b") if name not in expected]
    registry.unregister("one")
    assert [*registry.mount("two", [make("a"), make("b")])] == expected


def test_duplicates_are_refused_with_both_names_and_the_first_stays():
    registry = SkillRegistry()
    registry.register("one", Plugin("a"))
    first = registry.get("a")
    with pytest.raises(
        PluginRefusedError, match="'a' of plugin 'two' is there already, from plugin 'one'"
    ) as caught:
        registry.register("two", Plugin("b", "a"))
    assert isinstance(caught.value.__cause__, DuplicateSkillError)
    assert registry.get("a") is first
    assert names(registry) == ["a"]


def test_a_name_twice_in_one_plugin_is_refused():
    with pytest.raises(PluginRefusedError, match="from plugin 'one'"):
        SkillRegistry().register("one", Plugin("a", "a"))


@pytest.mark.parametrize("error", [ValueError("no\nmore"), SystemExit(3), RecursionError()])
def test_a_registration_that_breaks_off_leaves_nothing(error):
    registry = SkillRegistry()
    revision = registry.revision
    with pytest.raises(PluginRefusedError, match=type(error).__name__):
        registry.register("one", Plugin("a", after=error))
    assert names(registry) == []
    assert registry.plugins == {}
    assert registry.revision == revision
    assert registry.register("one", Plugin("a")) == ("a",)


def test_an_interrupt_is_no_fault_of_the_plugin():
    registry = SkillRegistry()
    with pytest.raises(KeyboardInterrupt):
        registry.register("one", Plugin("a", after=KeyboardInterrupt()))
    assert names(registry) == []


def test_register_ends_with_the_hook():
    registry = SkillRegistry()
    plugin = Plugin("a")
    registry.register("one", plugin)
    with pytest.raises(SkillError, match="after its hook had returned"):
        plugin.register(make("late"))
    assert names(registry) == ["a"]


def test_a_plugin_name_is_given_once():
    registry = SkillRegistry()
    registry.register("one", Plugin("a"))
    with pytest.raises(PluginRefusedError, match="registered already"):
        registry.register("one", Plugin("b"))
    with pytest.raises(SkillError, match="no plugin 'two'"):
        registry.unregister("two")


class Unmarked:
    def register_skills(self, register): ...


class WrongName:
    @hookimpl
    def register_skill(self, register): ...


class WrongArgument:
    @hookimpl
    def register_skills(self, registrar): ...


class NoArgument:
    @hookimpl
    def register_skills(self): ...


class Async:
    @hookimpl
    async def register_skills(self, register): ...


class Wrapper:
    @hookimpl(wrapper=True)
    def register_skills(self, register):
        yield


class BareFunction:
    @hookimpl
    def register_skills(self, register):
        register(make)


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (Unmarked(), "no hook"),
        (WrongName(), "register_skill"),
        (WrongArgument(), "registrar"),
        (NoArgument(), "takes no argument `register`"),
        (Async(), "plain function"),
        (Wrapper(), "plain function"),
        (Plugin, "it is a class"),
        (BareFunction(), "decorate the function"),
        (object(), "no hook"),
    ],
)
def test_hooks_of_a_wrong_form_are_refused(plugin, reason):
    registry = SkillRegistry()
    registry.register("good", Plugin("a"))
    with pytest.raises(PluginRefusedError, match=reason):
        registry.register("bad", plugin)
    assert names(registry) == ["a"]
    assert registry.register("later", Plugin("b")) == ("b",)
