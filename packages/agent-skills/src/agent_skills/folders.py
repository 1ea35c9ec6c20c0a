"""Folders with a `SKILL.md`: instructions that a model reads when it needs them, after the Agent Skills format
(agentskills.io/specification, as of October 2026).

Reading is lenient: what can be understood is used, and the rest is said in `problems`. `validate` is strict, for authors.
Runs nothing.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from agent_skills.decoded import as_list, as_object
from agent_skills.errors import SkillError

FILE: Final = "SKILL.md"
MAX_FILE_BYTES: Final = 200_000
MAX_HEAD_CHARS: Final = 16_000
MAX_NAME_CHARS: Final = 64
MAX_DESCRIPTION_CHARS: Final = 1_024
MAX_COMPATIBILITY_CHARS: Final = 500
MAX_BODY_LINES: Final = 500

_FIELDS: Final = frozenset({"name", "description", "license", "compatibility", "metadata", "allowed-tools"})
_NAME = re.compile(r"[^\W_]+(?:-[^\W_]+)*")


class SkillFolder(msgspec.Struct, frozen=True, kw_only=True):
    """One folder, as it was read."""

    folder: Path
    name: str
    description: str
    body: str
    license: str = ""
    compatibility: str = ""
    metadata: Mapping[str, str] = {}
    allowed_tools: tuple[str, ...] = ()
    """What the author thinks it needs. It grants nothing: policy alone decides."""
    problems: tuple[str, ...] = ()
    """What a strict reader would refuse."""


def read_folder(folder: Path) -> SkillFolder:
    """Read one folder.

    Raises:
        SkillError: there is no file that can be read, or it has no name or no description.
    """
    head, body, problems = _split(folder)
    name = _text(head, "name") or folder.name
    description = _text(head, "description")
    if not description:
        raise SkillError(f"{folder / FILE} has no description: nobody would know when to use it")
    problems += _problems(folder, head, body)
    tools = as_list(head.get("allowed-tools")) or _text(head, "allowed-tools").split()
    return SkillFolder(
        folder=folder.resolve(),
        name=unicodedata.normalize("NFKC", name).strip()[:MAX_NAME_CHARS],
        description=" ".join(description.split())[:MAX_DESCRIPTION_CHARS],
        body=body,
        license=_text(head, "license"),
        compatibility=_text(head, "compatibility"),
        metadata={str(key): str(value) for key, value in as_object(head.get("metadata")).items()},
        allowed_tools=tuple(str(one) for one in tools),
        problems=tuple(problems),
    )


def validate(folder: Path) -> list[str]:
    """Everything about a folder that breaks the format; empty: nothing does."""
    try:
        return list(read_folder(folder).problems)
    except SkillError as error:
        return [str(error)]


def find_folders(places: Iterable[Path]) -> tuple[list[SkillFolder], dict[Path, str]]:
    """The skill folders directly inside some places, and those that could not be read, with the reason.

    A name that is there already is a reason: the first keeps it.
    """
    found: dict[str, SkillFolder] = {}
    broken: dict[Path, str] = {}
    for place in places:
        for folder in sorted(one.parent for one in place.glob(f"*/{FILE}")):
            try:
                skill = read_folder(folder)
            except SkillError as error:
                broken[folder] = str(error)
                continue
            if skill.name in found:
                broken[folder] = f"the name {skill.name!r} is taken by {found[skill.name].folder}"
            else:
                found[skill.name] = skill
    return list(found.values()), broken


def _split(folder: Path) -> tuple[dict[str, Any], str, list[str]]:
    """The head and the body of a file, and what is wrong with how they stand there."""
    path = folder / FILE
    if path.is_symlink() or not path.is_file():
        raise SkillError(f"{path} is no regular file")
    data = path.read_bytes()[: MAX_FILE_BYTES + 1]
    if len(data) > MAX_FILE_BYTES:
        raise SkillError(f"{path} has over {MAX_FILE_BYTES:,} bytes; move parts of it to references/")
    try:
        text = data.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise SkillError(f"{path} is no UTF-8") from None
    match = re.match(r"---[ \t]*\n(.*?)\n---[ \t]*(?:\n|$)", text, re.DOTALL)
    if match is None:
        raise SkillError(f"{path} does not begin with a head between two lines of ---")
    if len(match[1]) > MAX_HEAD_CHARS:
        raise SkillError(f"the head of {path} has over {MAX_HEAD_CHARS:,} characters")
    return _head(path, match[1]), text[match.end() :].strip(), []


def _head(path: Path, text: str) -> dict[str, Any]:
    try:
        return msgspec.yaml.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise SkillError(f"the head of {path} is no YAML mapping: {str(error)[:200]}") from None
    except ImportError as error:  # PyYAML is a dependency of ours; a broken installation is worth a word
        raise SkillError(f"reading {path} needs PyYAML: install it") from error


def _problems(folder: Path, head: Mapping[str, Any], body: str) -> list[str]:
    problems = [f"unknown field {field!r}" for field in head if field not in _FIELDS]
    problems += [
        f"{field!r} must be text"
        for field in ("name", "description", "license", "compatibility")
        if field in head and not isinstance(head[field], str)
    ]
    problems += _name_problems(folder, _text(head, "name"))
    if len(_text(head, "description")) > MAX_DESCRIPTION_CHARS:
        problems.append(f"the description has over {MAX_DESCRIPTION_CHARS:,} characters")
    if len(_text(head, "compatibility")) > MAX_COMPATIBILITY_CHARS:
        problems.append(f"the compatibility has over {MAX_COMPATIBILITY_CHARS} characters")
    metadata = as_object(head.get("metadata"))
    is_mapping = isinstance(head.get("metadata", {}), dict)
    if not is_mapping or not all(isinstance(one, str) for pair in metadata.items() for one in pair):
        problems.append("metadata must map texts to texts")
    if not isinstance(head.get("allowed-tools", ""), str):
        problems.append("allowed-tools must be names with spaces between them")
    if len(body.splitlines()) > MAX_BODY_LINES:
        problems.append(f"the body has over {MAX_BODY_LINES} lines; move parts of it to references/")
    return problems


def _name_problems(folder: Path, raw: str) -> list[str]:
    if not raw:
        return ["there is no name"]
    name = unicodedata.normalize("NFKC", raw)
    problems: list[str] = []
    if len(name) > MAX_NAME_CHARS:
        problems.append(f"the name has over {MAX_NAME_CHARS} characters")
    if name != name.lower():
        problems.append("the name must be in lower case")
    if not _NAME.fullmatch(name):
        problems.append("the name must be letters and digits, with single hyphens between them")
    if name != unicodedata.normalize("NFKC", folder.resolve().name):
        problems.append(f"the name {name!r} is not that of the folder, {folder.resolve().name!r}")
    return problems


def _text(head: Mapping[str, Any], field: str) -> str:
    value = head.get(field, "")
    return value.strip() if isinstance(value, str) else ""
