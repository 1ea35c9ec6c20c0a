"""What the settings give to plugins, as agent-skills takes it; and what of that comes to nothing on this machine.

A plugin that no one names runs in a worker, with no secret and no host. Knows no plugin's code.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent_api.errors import WrongSettingError
from agent_api.settings import PluginSettings
from agent_api.skill_names import nearest
from agent_api.wrong_settings import wrong_value
from agent_skills import Levels
from agent_skills.needs import Level
from agent_skills.policy import Budget, Grant, Grants
from agent_skills.secrets import SecretSource, of_this_machine

LEVELS = {level.name.lower(): level for level in Level}


def grants_of(settings: PluginSettings, installed: Collection[str]) -> Grants:
    """The grants of the settings; each plugin of `installed` has the least level of the settings, granted or not.

    Raises:
        SettingsError: something that is granted cannot be; says to whom and which.
    """
    least = _level("plugins.level", settings.level)
    named = {name: _grant(name, given, least) for name, given in settings.grants.items()}
    others = {name: Grant(level=least) for name in installed if name not in named}
    try:
        per_run = msgspec.convert(settings.per_run, Budget)
    except msgspec.ValidationError as error:
        raise wrong_value("plugins.per_run", settings.per_run, Budget, error) from error
    return Grants(plugins={**named, **others}, per_run=per_run)


def _grant(name: str, given: Mapping[str, Any], least: Level) -> Grant:
    where = f"plugins.grants.{name}"
    level = _level(f"{where}.level", given["level"]) if "level" in given else least
    try:
        grant = msgspec.convert({**given, "level": level}, Grant)
    except msgspec.ValidationError as error:
        raise wrong_value(where, given, Grant, error) from error
    for path in (*grant.read, *grant.write):
        if not Path(path).is_absolute():
            field = "read" if path in grant.read else "write"
            raise WrongSettingError(f"{where}.{field}", f"{path!r} is no absolute path")
    return grant


def _level(where: str, name: object) -> Level:
    if not isinstance(name, str) or name not in LEVELS:
        raise WrongSettingError(where, f"there is no level {name!r}; there are: {', '.join(LEVELS)}")
    return LEVELS[name]


def gaps(
    settings: PluginSettings,
    grants: Grants,
    installed: Collection[str],
    levels: Levels,
    *,
    secret: SecretSource = of_this_machine,
) -> Iterator[str]:
    """What was set and does not hold, in words: names of nobody, levels and secrets that are not here, hosts without a wall."""
    lists: Sequence[tuple[str, Collection[str]]] = (
        ("allow", settings.allow or ()),
        ("deny", settings.deny),
        ("trust", settings.trust),
        ("grants", settings.grants),
    )
    for field, names in lists:
        for name in sorted(set(names) - set(installed)):
            near = nearest(name, installed)
            yield f"plugins.{field} names {name!r}, which no installed plugin is called{near}"
    for name, grant in grants.plugins.items():
        missing = levels.missing(grant.level)
        if missing:
            yield f"{name} cannot be called, for it is to run at the level {grant.level.name.lower()}: {missing}"
        if grant.level < Level.SANDBOX and (grant.hosts or grant.read or grant.write):
            yield f'nothing holds {name} to what it was granted outside a sandbox: set its level to "sandbox"'
        yield from (
            f"{name} was granted the secret {one!r}, which is not set" for one in _unset(grant, secret)
        )


def _unset(grant: Grant, secret: SecretSource) -> Iterator[str]:
    return (name for name in grant.secrets if secret(name) is None)
