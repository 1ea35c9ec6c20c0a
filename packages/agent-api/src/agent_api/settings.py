"""The settings tree: what can be set, where a value comes from, and where data lives.

Order: command line > systemd credential (secrets) > environment (`AGENT_*`) > `.env` > `agent.toml` > default.
"""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
from dotenv import dotenv_values

from agent_api.errors import SettingsError, WrongSettingError
from agent_api.wrong_settings import wrong_value
from agent_core.policy import Rules

DEFAULT_MODEL = "local:smollm2-135m"
DEFAULT_INSTRUCTIONS = "You are a helpful assistant. Answer briefly and truthfully."
SECRETS = frozenset({"api_key"})
HIDDEN = "********"
_OTHER_VARIABLES = frozenset({"AGENT_CONFIG", "AGENT_TRACEBACK", "AGENT_VLLM_PYTHON"})
_PREFIXES = ("AGENT_SECRET_",)


class McpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MCP servers whose tools are skills here."""

    servers: dict[str, dict[str, Any]] = {}
    """By name: the fields of `McpServerSettings` of agent-skills, and `tenants`. `{secret:NAME}` in a header, in the
    environment or in `oauth` stands for a secret of this machine."""
    trust_first_use: bool = True
    """Whether all tools of a server are approved when it is seen first."""


class PluginSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which installed plugins are loaded, and what each may do. What is not granted is not given."""

    allow: tuple[str, ...] | None = None
    """The only plugins that are loaded. None: all that are installed."""
    deny: tuple[str, ...] = ()
    """Plugins that are not loaded; goes before `allow`."""
    trust: tuple[str, ...] = ()
    """Plugins that are imported into this process, and can do what it can; the others run in processes of their own."""
    level: str = "worker"
    """The least wall around each installed plugin: `worker`, which is none against malice, or `sandbox`."""
    grants: dict[str, dict[str, Any]] = {}
    """By the name of a plugin: the fields of `Grant` of agent-skills, `level` by its name."""
    per_run: dict[str, Any] = {}
    """What all skills together may spend in one run: the fields of `Budget` of agent-skills."""


class SkillSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which skills there are, wherever they come from: built in, of a plugin, or of an MCP server."""

    allow: tuple[str, ...] | None = None
    """The only skills. None: all."""
    deny: tuple[str, ...] = ()
    """Skills that are left out; goes before `allow`."""
    most_offered: Annotated[int, msgspec.Meta(ge=2)] = 40
    """So many are all offered to a model with a tool format of its own. Of more it is offered half as many, those nearest to the
    request, and `find_skills`, by which it finds the others."""


class BuiltinSkillSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Built-in skills that reach the web or run programs. None is there unless it is switched on."""

    fetch: bool | dict[str, Any] = False
    """`fetch`: pages of the web. As a table, the fields of `WebLimits` of agent-skills. Needs `agent-skills[fetch]`."""
    web_search: str | dict[str, Any] = ""
    """`web_search` by `searxng:URL`, `brave`, `tavily` or `ddgs`; as a table, the fields of `SearchSettings` of agent-skills."""
    shell: bool = False
    """`shell`: commands in the workspace, inside a sandbox."""
    python: Literal["", "snippets", "sandbox"] = ""
    """`python`: snippets in Monty (needs `agent-skills[monty]`), or the whole of it in a sandbox."""
    hosts: tuple[str, ...] = ()
    """The hosts that programs in sandboxes may reach: those of `shell` and `python`, and scripts of `folders`."""
    folders: tuple[str, ...] = ()
    """Folders of folders with a `SKILL.md`. Their scripts are run where there is a sandbox."""
    http_api: dict[str, dict[str, Any]] = {}
    """By name: `document`, a file with an OpenAPI document in JSON or YAML, and the fields of `HttpApiSettings` of agent-skills."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, with its default."""

    model: str = DEFAULT_MODEL
    """`local:NAME`, `local:/path/to/model.gguf` or `openai:NAME`."""
    base_url: str = ""
    """Where an `openai:` model is served, up to and with `/v1`."""
    api_key: str = ""
    """The secret for `base_url`, where it wants one."""
    instructions: str = DEFAULT_INSTRUCTIONS
    workspace: str = ""
    """The folder that the file tools may read. Empty: the current one, or `workspace` in the data folder for agentd."""
    data_dir: str = ""
    """Where journals and weights are kept. Empty: `$STATE_DIRECTORY`, else the XDG data folder."""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8420
    uds: str = ""
    """A unix socket to listen on instead of an address."""
    public_url: str = ""
    """Where others reach the daemon, for the agent card. Empty: where they asked for the card."""
    public_card: bool = False
    """Whether anybody may read the agent card, as other agents do that look for one; else it takes a key."""
    max_runs: Annotated[int, msgspec.Meta(ge=1)] = 32
    """How many runs the daemon drives at once; more are refused with 503 and Retry-After."""
    ask_person: bool = False
    """Whether the model may ask people, and a run waits for the reply. Small models ask for no reason."""
    planning: bool = False
    """Whether a model may plan several calls at once. Small models cannot."""
    code_mode: bool = False
    """Whether the model may write snippets that call the tools. Needs `agent-skills[monty]`, and a model that writes code."""
    knowledge: bool = False
    """Whether the model may search the knowledge bases. Small models are confused by more tools."""
    knowledge_at: str = ""
    """Where the tables of the knowledge bases lie: `s3://BUCKET/FOLDER`, `gs://`, `az://` or an absolute path, with a folder
    for each tenant below. Empty: `knowledge` in the data folder of each. Credentials come by the environment."""
    long_term: bool = False
    """Whether what was said is recalled in later sessions, and the model may note and recall."""
    max_import_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1_073_741_824
    """The largest export that `POST /api/v1/memory/import` takes."""
    origin: str = ""
    """What browsers see the daemon as, behind a proxy: `https://agent.example.org`. Empty: what they name as host."""
    webhook_networks: str = ""
    """Networks that webhooks may reach although they are not public, such as `10.1.0.0/16, 127.0.0.0/8`."""
    webhook_ports: str = "80, 443, 8080, 8443"
    """The only ports that webhooks reach."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that the daemon logs."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else a JSON object a line."""
    telemetry: bool = False
    """Whether runs are told to OpenTelemetry (extra `agent-api[otel]`), set up by its own `OTEL_*` variables."""
    policy: Rules = Rules()
    """What a run may do of itself, what a person is asked about, and what is denied: `[policy]` of agent.toml."""
    mcp: McpSettings = McpSettings()
    """MCP servers, as tables `[mcp.servers.NAME]` of agent.toml: `command` or `url`, and more."""
    plugins: bool | PluginSettings = True
    """Whether skills of installed plugins are loaded beside the built-in ones; as a table, which, and what they may do."""
    skills: SkillSettings = SkillSettings()
    """Which skills are left out: `[skills]` of agent.toml."""
    builtin: BuiltinSkillSettings = BuiltinSkillSettings()
    """Which built-in skills that reach the web or run programs are there: `[builtin]` of agent.toml."""

    def loaded_plugins(self) -> PluginSettings | None:
        """What is set of plugins; None: none is loaded."""
        if isinstance(self.plugins, bool):
            return PluginSettings() if self.plugins else None
        return self.plugins

    def data_path(self) -> Path:
        """The data folder, absolute; it may not exist yet."""
        chosen = self.data_dir or os.environ.get("STATE_DIRECTORY", "").split(":")[0]
        if chosen:
            return Path(chosen).expanduser().absolute()
        data_home = os.environ.get("XDG_DATA_HOME", "")
        return (Path(data_home) if data_home else Path.home() / ".local" / "share") / "agent"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """One value and where it came from."""

    name: str
    value: object
    origin: str


def load(overrides: Mapping[str, object] | None = None, *, folder: Path | None = None) -> Settings:
    """The settings, from all sources. None in `overrides` means not given.

    Raises:
        SettingsError: an unknown name in agent.toml, or a value of the wrong kind; says which and where.
    """
    return _convert(explain(overrides, folder=folder))


def explain(overrides: Mapping[str, object] | None = None, *, folder: Path | None = None) -> list[Origin]:
    """Every setting with its value and origin, in the order of `Settings`. Secrets are not hidden here."""
    here = folder or Path.cwd()
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    dotenv = {k: v for k, v in dotenv_values(here / ".env").items() if v is not None}
    sources: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("command line", given),
        ("credential", _credentials()),
        ("environment", _from_environment(os.environ)),
        (".env", _from_environment(dotenv)),
        _toml(here),
        ("default", {field.name: field.default for field in msgspec.structs.fields(Settings)}),
    )
    return [_first(field.name, sources) for field in msgspec.structs.fields(Settings)]


def shown(one: Origin) -> object:
    """The value of a setting for people to see, without secrets."""
    if one.name in SECRETS and one.value:
        return HIDDEN
    # Field by field: structs that leave out their defaults would show nothing.
    given = msgspec.structs.asdict(one.value) if isinstance(one.value, msgspec.Struct) else one.value
    value: object = msgspec.to_builtins(given)
    return _without_secrets(value) if one.name == "mcp" else value


def _without_secrets(value: object, *, is_secret: bool = False) -> object:
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {
            key: _without_secrets(
                field, is_secret=is_secret or key in {"headers", "environment", "client_secret"}
            )
            for key, field in fields.items()
        }
    return HIDDEN if is_secret else value


def _first(name: str, sources: tuple[tuple[str, Mapping[str, object]], ...]) -> Origin:
    origin, values = next((origin, values) for origin, values in sources if name in values)
    return Origin(name=name, value=values[name], origin=origin)


def _convert(origins: list[Origin]) -> Settings:
    for one in origins:
        field = next(f for f in msgspec.structs.fields(Settings) if f.name == one.name)
        try:
            msgspec.convert(one.value, field.type, strict=False)
        except msgspec.ValidationError as error:
            raise wrong_value(one.name, one.value, field.type, error, origin=one.origin) from error
    return msgspec.convert({one.name: one.value for one in origins}, Settings, strict=False)


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    names = {field.name for field in msgspec.structs.fields(Settings)}
    return {name: environment[key] for name in names if (key := f"AGENT_{name.upper()}") in environment}


def _credentials() -> dict[str, object]:
    """Secrets that systemd put in place (`LoadCredential=agent_api_key`), readable by this service alone."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}
    paths = {name: Path(folder) / f"agent_{name}" for name in SECRETS}
    return {name: path.read_text().strip() for name, path in paths.items() if path.is_file()}


def _toml(folder: Path) -> tuple[str, dict[str, object]]:
    named = os.environ.get("AGENT_CONFIG", "")
    path = Path(named or folder / "agent.toml")
    if not path.is_file():
        if named:
            raise SettingsError(f"AGENT_CONFIG names {path}, which is no file")
        return (str(path), {})
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    known = {field.name for field in msgspec.structs.fields(Settings)}
    unknown = sorted(set(values) - known)
    if unknown:
        near = get_close_matches(unknown[0], known, n=1)
        hint = f"is {near[0]!r} meant? Known are" if near else "known are"
        raise WrongSettingError(
            unknown[0], f"there is no such setting; {hint}: {', '.join(sorted(known))}", origin=str(path)
        )
    return (str(path), values)


def unknown_variables() -> list[str]:
    """Variables of the environment and of `.env` that look like settings and are none."""
    known = {f"AGENT_{field.name.upper()}" for field in msgspec.structs.fields(Settings)} | _OTHER_VARIABLES
    given = {*os.environ, *dotenv_values(Path.cwd() / ".env")}
    return sorted(
        name
        for name in given
        if name.startswith("AGENT_") and name not in known and not name.startswith(_PREFIXES)
    )
