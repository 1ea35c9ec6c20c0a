"""The skills `files_list` and `files_read`: the files of one workspace folder."""

import re
from collections.abc import Mapping, Sequence

from agent_core.tools import Label
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.skill import skill
from agent_skills.workspace import Workspace, WorkspaceSettings

MAX_CHOICES = 50
"""Paths offered to a model to choose from."""

_LIST_EXAMPLES = (
    ("list my files", "."),
    ("which files are there?", "."),
    ("ls -la", "."),
    ("dir", "."),
    ("what is in this folder?", "."),
    ("what do I have in the workspace", "."),
    ("Do I have any documents here?", "."),
    ("can you show me a list of my documents, please", "."),
    ("I want to see what files exist", "."),
    ("show everything you have", "."),
    ("overview of my documents", "."),
    ("what does the folder reports contain?", "reports"),
    ("list the files in src", "src"),
    ("ls photos", "photos"),
    ("look inside the folder letters", "letters"),
    ("what can I find under docs/old?", "docs/old"),
    ("Give me the contents of the directory data", "data"),
    ("is anything in drafts?", "drafts"),
)
_READ_EXAMPLES = (
    ("read notes.txt", "notes.txt"),
    ("open the file letter.txt please", "letter.txt"),
    ("cat main.py", "main.py"),
    ("what does todo.md say", "todo.md"),
    ("what is in budget.csv?", "budget.csv"),
    ("show me logs/app.log", "logs/app.log"),
    ("print README.md", "README.md"),
    ("tell me what reports/march.txt contains", "reports/march.txt"),
    ("I would like to read recipe.txt", "recipe.txt"),
    ("could you view config.toml", "config.toml"),
    ("give me the content of speech.txt", "speech.txt"),
    ("Please read me my diary", "diary.txt"),
    ("open the invoice", "invoice.txt"),
    ("what does the report file say?", "report.md"),
    ("what's in my shopping list", "shopping.txt"),
    ("read the letter aloud", "letter.txt"),
    ("what is written in poem.txt", "poem.txt"),
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
            choices=files.folders_for,
        )
        read_file = skill(
            name="files_read",
            examples=[(utterance, {"path": path}) for utterance, path in _READ_EXAMPLES],
            labels=[Label.READS_PRIVATE],
            idempotent=True,
            timeout_s=10.0,
            answer="{path}:\n{result}",
            choices=files.files_for,
        )
        register(list_files(files.list))
        register(read_file(files.read))


class _Files:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

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

    def read(self, path: str) -> str:
        """Read a text file of the workspace.

        Args:
            path: The file, relative to the workspace, such as notes/today.txt.
        """
        text, size_bytes, cut = self._workspace.read(path)
        if cut:
            return f"{text}\n[cut: the file has {size_bytes:,} bytes, this is its beginning]"
        return text or "The file is empty."

    def files_for(self, text: str) -> Mapping[str, Sequence[str]]:
        """The files that a request may mean, best first.

        A file that is named and does not exist is one too: its reading then says so, rather than another file's.
        """
        paths = [path for path, is_folder in self._workspace.walk() if not is_folder]
        named = [
            name
            for name in _FILE_NAME.findall(text)
            if not any(_likeness(name, path) >= _NAMED for path in paths)
        ]
        found = named or _best(text, paths)
        return {"path": found} if found else {}

    def folders_for(self, text: str) -> Mapping[str, Sequence[str]]:
        """The folders that a request may mean, best first; the workspace itself is always among them."""
        folders = [path for path, is_folder in self._workspace.walk() if is_folder]
        named = [path for path in folders if _likeness(text, path)]
        return {"path": [*_best(text, named), "."] if named else [".", *_best(text, folders)]}


def _size(size_bytes: int, kind: str) -> str:
    return f"{size_bytes:,} bytes" if kind == "file" else "not a file"


def _best(text: str, paths: Sequence[str]) -> list[str]:
    """The likest paths first, without those far behind the best; where none is like the text, all, shortest first."""
    likeness = {path: _likeness(text, path) for path in paths}
    least = max(likeness.values(), default=0.0) * _NEAR
    ranked = sorted(likeness, key=lambda path: (-likeness[path], path.count("/"), path))
    return [path for path in ranked if likeness[path] >= least][: MAX_CHOICES - 1]


def _likeness(text: str, path: str) -> float:
    """How well a path fits a request: 3 for the whole path, 2 for the name, else the share of its words, at most 1."""
    request, low = text.lower(), path.lower()
    for points, what in ((3.0, low), (_NAMED, low.rpartition("/")[2])):
        if re.search(rf"(?<![\w./-]){re.escape(what)}(?![\w/-])", request):
            return points
    words = _words(low)
    return len(words & _words(request)) / max(len(words), 1)


def _words(text: str) -> set[str]:
    """The words of a text that tell files apart, plurals cut: "reports" and "report" are one."""
    return {word.removesuffix("s") for word in re.findall(r"[^\W_]+", text)} - _STOP_WORDS


_NAMED = 2.0
_NEAR = 0.6
_FILE_NAME = re.compile(r"\b[\w-]+(?:/[\w.-]+)*\.[a-z][a-z0-9]{0,4}\b", re.IGNORECASE)
_STOP_WORDS = frozenset(
    "the a an my in of to i is me file folder directory what show read open for and txt md csv py".split()  # noqa: SIM905
)
