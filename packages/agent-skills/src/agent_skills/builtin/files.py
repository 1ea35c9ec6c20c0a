"""The skills `files_list` and `files_read`: the files of one workspace folder."""

from collections.abc import Iterator

from agent_core.tools import Label
from agent_skills.builtin.files_reading import FileReader, FolderReader
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.skill import skill
from agent_skills.workspace import Workspace, WorkspaceSettings

_LIST_EXAMPLES = (
    ("list my files", "."),
    ("list all the files here", "."),
    ("show the files in the workspace", "."),
    ("which files are there?", "."),
    ("what is in this folder?", "."),
    ("what do I have in the workspace", "."),
    ("Show me the directory", "."),
    ("ls -la", "."),
    ("dir", "."),
    ("give me the names of all files", "."),
    ("I want to see what files exist", "."),
    ("Do I have any documents here?", "."),
    ("how many documents do I have", "."),
    ("can you show me a list of my documents", "."),
    ("what's in the current directory", "."),
    ("what does the folder music contain?", "music"),
    ("list the files in docs", "docs"),
    ("show me the src folder", "src"),
    ("what files are in the images directory", "images"),
    ("ls music", "music"),
    ("look inside the folder docs", "docs"),
    ("what can I find under src?", "src"),
    ("Give me the contents of the directory images", "images"),
    ("which documents are in music", "music"),
    ("is anything in docs?", "docs"),
    ("display the files", "."),
    ("show everything you have", "."),
    ("list everything in music", "music"),
    ("what is in docs", "docs"),
    ("what is stored inside src?", "src"),
    ("overview of my documents", "."),
)
_READ_EXAMPLES = (
    ("read plan.txt", "plan.txt"),
    ("read the file data.csv for me", "data.csv"),
    ("open main.c", "main.c"),
    ("open the file docs/intro.md please", "docs/intro.md"),
    ("show me plan.txt", "plan.txt"),
    ("show the contents of data.csv", "data.csv"),
    ("cat main.c", "main.c"),
    ("what does docs/intro.md say", "docs/intro.md"),
    ("what is in plan.txt?", "plan.txt"),
    ("what's inside the file data.csv", "data.csv"),
    ("print main.c", "main.c"),
    ("display the text of docs/intro.md", "docs/intro.md"),
    ("what is written in plan.txt", "plan.txt"),
    ("tell me what data.csv contains", "data.csv"),
    ("I would like to read main.c", "main.c"),
    ("let me look at docs/intro.md", "docs/intro.md"),
    ("could you view plan.txt", "plan.txt"),
    ("give me the content of data.csv", "data.csv"),
    ("Please read me my report", "report.md"),
    ("open the guide", "guide.md"),
    ("what does the server log file say?", "server.log"),
    ("what do the letter say", "letter.txt"),
    ("show me my notes", "notes.md"),
    ("I need to see the todo list text", "todo.txt"),
    ("what's in my shopping list", "shopping.txt"),
    ("read the report aloud", "report.md"),
    ("tell me what the guide contains", "guide.md"),
    ("I want to read the server log", "server.log"),
    ("can you read the letter to me?", "letter.txt"),
    ("what is on my notes", "notes.md"),
)


class FilesPlugin:
    """Brings `files_list` and `files_read` for one folder."""

    def __init__(self, settings: WorkspaceSettings) -> None:
        self._settings = settings

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register both; refused where the workspace is no folder."""
        files = _Files(Workspace(self._settings))
        list_files = skill(
            name="files_list",
            examples=[(utterance, {"path": path}) for utterance, path in _LIST_EXAMPLES],
            labels=[Label.READS_PRIVATE],
            idempotent=True,
            timeout_s=10.0,
            answer="{result}",
            reader=FolderReader(files.walk),
        )
        read_file = skill(
            name="files_read",
            examples=[(utterance, {"path": path}) for utterance, path in _READ_EXAMPLES],
            labels=[Label.READS_PRIVATE],
            idempotent=True,
            timeout_s=10.0,
            answer="{path}:\n{result}",
            reader=FileReader(files.walk),
        )
        register(list_files(files.list))
        register(read_file(files.read))


class _Files:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def walk(self) -> Iterator[tuple[str, bool]]:
        """The paths of the workspace, each with whether it is a folder."""
        return self._workspace.walk()

    def list(self, path: str = ".") -> str:
        """List the files and folders in a folder of the workspace.

        Args:
            path: The folder, relative to the workspace. Left out: the workspace itself.
        """
        entries, more = self._workspace.entries(path)
        lines = [
            f"{entry.name}/"
            if entry.kind == "folder"
            else f"{entry.name} ({_size(entry.size_bytes, entry.kind)})"
            for entry in entries
        ]
        if more:
            lines.append(f"[cut: these are the first {len(entries):,} entries]")
        return "\n".join(lines) or "The folder is empty."

    def read(self, path: str, start: int = 0) -> str:
        """Read a text file of the workspace.

        Args:
            path: The file, relative to the workspace, such as notes/today.txt.
            start: The byte to begin at, to read on in a long file.
        """
        piece = self._workspace.read(path, start)
        if piece.cut:
            return f"{piece.text}\n[cut: the file has {piece.size_bytes:,} bytes; read on with start={piece.end}]"
        if not piece.text and piece.size_bytes:
            return f"The file has {piece.size_bytes:,} bytes; there is nothing from {start:,} on."
        return piece.text or "The file is empty."


def _size(size_bytes: int, kind: str) -> str:
    return f"{size_bytes:,} bytes" if kind == "file" else "not a file"
