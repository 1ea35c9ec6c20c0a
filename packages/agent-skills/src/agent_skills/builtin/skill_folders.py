"""Skill folders as skills: a model sees names and descriptions, reads a body when it wants one, files of the folder when the
body points at them, and has scripts run in a sandbox.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_core.tools import Label
from agent_skills.described import described_skill
from agent_skills.errors import SkillFailedError
from agent_skills.folders import FILE, SkillFolder
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.programs.sandboxed import Programs
from agent_skills.skill import AnySkill, skill
from agent_skills.workspace import Workspace, WorkspaceSettings

logger = logging.getLogger(__name__)

SCRIPTS: Final = "scripts"
TIMEOUT_S: Final = 60.0
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "path": {
            "type": "string",
            "description": "A file of the skill, such as references/FORMS.md. Left out: the instructions.",
        }
    },
    "additionalProperties": False,
}
_RUNNERS: Final = {".sh": "/bin/bash", ".bash": "/bin/bash"}


class SkillFoldersPlugin:
    """Brings one skill a folder, and `skill_script` where there is a sandbox to run scripts in."""

    def __init__(
        self,
        folders: Sequence[SkillFolder],
        programs: Programs | None = None,
        *,
        workspace: Path | None = None,
        trusted: bool = True,
    ) -> None:
        """Skills of these folders.

        Args:
            folders: from `agent_skills.folders.find_folders`.
            programs: runs their scripts; None: scripts can be read and not run.
            workspace: the folder that scripts may write to.
            trusted: the instructions were read by somebody; else they count as untrusted content.
        """
        self._folders = {one.name: one for one in folders}
        self._programs = programs
        self._workspace = workspace.resolve() if workspace else None
        self._labels = () if trusted else (Label.RETURNS_UNTRUSTED,)

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register them; refused where scripts could not write to the workspace."""
        for folder in self._folders.values():
            for problem in folder.problems:
                logger.info("skill folder %s: %s", folder.folder, problem)
            register(self._skill(folder))
        if self._programs is not None and any(
            (one.folder / SCRIPTS).is_dir() for one in self._folders.values()
        ):
            if self._workspace is not None:
                self._programs.check_writable(self._workspace)
            decorate = skill(
                name="skill_script",
                labels=[Label.READS_PRIVATE, Label.DESTROYS, *self._labels],
                timeout_s=TIMEOUT_S + 10.0,
            )
            made = decorate(self._run)
            made.spec = self._programs.described(made.spec)
            register(made)

    def _skill(self, folder: SkillFolder) -> AnySkill:
        # One that links lead out of is nobody's; hard links are how package tools put files there.
        files = Workspace(WorkspaceSettings(folder=folder.folder, allow_hard_links=True))

        async def read(arguments: JsonObject, _context: ToolContext) -> str:
            path = str(arguments.get("path") or "")
            if path in {"", FILE}:
                return _body(folder, files)
            return files.read(path).text

        return described_skill(
            name=f"skill_{_NO_NAME.sub('_', folder.name)}"[:64],
            description=f"{folder.description} (instructions; read them before you begin)",
            schema=_SCHEMA,
            call=read,
            labels=self._labels,
            idempotent=True,
            timeout_s=10.0,
        )

    async def _run(
        self, skill_name: str, script: str, arguments: list[str] | None = None, stdin: str = ""
    ) -> str:
        """Run a script of a skill, in a sandbox without a network, and return its output and exit code.

        Args:
            skill_name: The name of the skill, as its instructions give it.
            script: The script, such as scripts/fill.py.
            arguments: Its arguments.
            stdin: What it reads from standard input.
        """
        folder = self._folders.get(skill_name.removeprefix("skill_"))
        if folder is None or self._programs is None:
            names = ", ".join(self._folders)
            raise SkillFailedError(f"there is no skill {skill_name!r}; there are: {names}", code="not_found")
        path = script if script.startswith(f"{SCRIPTS}/") else f"{SCRIPTS}/{script}"
        # Read through the workspace, which refuses whatever leads out of the folder.
        Workspace(WorkspaceSettings(folder=folder.folder, allow_hard_links=True)).read(path)
        place = folder.folder / path
        runner = self._programs.python if place.suffix == ".py" else _RUNNERS.get(place.suffix)
        if runner is None:
            kinds = ", ".join([".py", *_RUNNERS])
            raise SkillFailedError(f"only scripts of these kinds are run: {kinds}", code="not_runnable")
        writable = [self._workspace] if self._workspace else []
        outcome = await self._programs.run(
            [runner, str(place), *(arguments or ())],
            stdin=stdin,
            read=[folder.folder],
            write=writable,
            folder=self._workspace,
            timeout_s=TIMEOUT_S,
        )
        return outcome.told()


def _body(folder: SkillFolder, files: Workspace) -> str:
    others = sorted(path for path, is_folder in files.walk() if not is_folder and path != FILE)
    listed = f"\n\nFiles of this skill: {', '.join(others[:50])}" if others else ""
    return f"{folder.body}{listed}"
