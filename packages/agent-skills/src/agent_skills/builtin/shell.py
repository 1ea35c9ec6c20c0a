"""The skill `shell`: commands in the workspace, inside a sandbox that has the workspace, and the hosts of `Programs`."""

from agent_core.tools import Label
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.programs.sandboxed import Programs
from agent_skills.skill import skill
from agent_skills.workspace import WorkspaceSettings

TIMEOUT_S = 60.0
_EXAMPLES = (
    ("run ls -la in the shell", {"command": "ls -la"}),
    ("execute the command wc -l data.csv", {"command": "wc -l data.csv"}),
    ("count the lines of all python files with the shell", {"command": "cat *.py | wc -l"}),
    ("grep for error in server.log", {"command": "grep error server.log"}),
)


class ShellPlugin:
    """Brings `shell` for one workspace."""

    def __init__(self, programs: Programs, workspace: WorkspaceSettings) -> None:
        self._programs = programs
        self._folder = workspace.folder.resolve()

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register it; refused where programs could not write to the workspace."""
        self._programs.check_writable(self._folder)
        decorate = skill(
            name="shell",
            examples=_EXAMPLES,
            labels=[Label.READS_PRIVATE, Label.DESTROYS],
            timeout_s=TIMEOUT_S + 10.0,
        )
        made = decorate(self._run)
        made.spec = self._programs.described(made.spec)
        register(made)

    async def _run(self, command: str) -> str:
        """Run a command line in a shell, in the folder of the workspace, and return its output and exit code.

        Nothing of the machine is there but the workspace. Each call is a new shell.

        Args:
            command: The command line, for bash.
        """
        outcome = await self._programs.run(
            ["/bin/bash", "-c", command], write=[self._folder], folder=self._folder, timeout_s=TIMEOUT_S
        )
        return outcome.told()
