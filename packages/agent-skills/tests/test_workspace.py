"""Paths that a model or an attacker may think of, against one folder."""

import os
import pathlib
import socket
import threading

import pytest

from agent_skills import SkillError
from agent_skills.workspace import PathRefusedError, Workspace, WorkspaceSettings


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def root(tmp_path, outside):
    root = tmp_path / "root"
    (root / "notes").mkdir(parents=True)
    (root / "notes" / "today.txt").write_text("buy milk")
    (root / "empty.txt").write_text("")
    (root / "link.txt").symlink_to(outside / "secret.txt")
    (root / "inner_link.txt").symlink_to(root / "empty.txt")
    (root / "link_folder").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    (root / "self").symlink_to("/proc/self")
    os.link(outside / "secret.txt", root / "hard.txt")
    os.mkfifo(root / "fifo")
    (root / "binary").write_bytes(b"ab\0cd")
    (root / "latin.txt").write_bytes(b"caf\xe9")
    (root / os.fsdecode(b"odd\xff.txt")).write_text("odd")
    (root / "cafe\u0301.txt").write_text("accent")
    return root


def workspace(root, **settings):
    return Workspace(WorkspaceSettings(folder=root, **settings))


READABLE = {
    "notes/today.txt": "buy milk",
    "./notes//./today.txt": "buy milk",
    "empty.txt": "",
    "latin.txt": "caf\ufffd",
    "cafe\u0301.txt": "accent",
}


@pytest.mark.parametrize("path", READABLE)
def test_files_inside_are_read(root, path):
    text, size_bytes, _, cut = workspace(root).read(path)
    assert text == READABLE[path]
    assert (size_bytes, cut) == (len((root / path).read_bytes()), False)


HOSTILE = {
    "../outside/secret.txt": "path_refused",
    "notes/../../outside/secret.txt": "path_refused",
    "..": "path_refused",
    "notes/..": "path_refused",
    "/etc/passwd": "path_refused",
    "//etc/passwd": "path_refused",
    "/proc/self/environ": "path_refused",
    "/dev/zero": "path_refused",
    "self/environ": "not_a_folder",
    "link.txt": "not_a_file",
    "inner_link.txt": "not_a_file",
    "link_folder/secret.txt": "not_a_folder",
    "link_folder": "not_a_file",
    "loop": "not_a_file",
    "loop/x": "not_a_folder",
    "hard.txt": "path_refused",
    "fifo": "not_a_file",
    "notes/today.txt\0.md": "path_refused",
    "\ud800.txt": "path_refused",
    "a" * 2_000: "path_refused",
    "a" * 300: "path_refused",
    "caf\u00e9.txt": "not_found",
    "~/secret.txt": "not_found",
    "..\\outside\\secret.txt": "not_found",
    "%2e%2e/outside/secret.txt": "not_found",
    "notes": "not_a_file",
    "": "not_a_file",
    ".": "not_a_file",
    "notes/today.txt/x": "not_a_folder",
    "missing": "not_found",
    "binary": "not_text",
}


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: ascii(path[:30]))
def test_everything_else_is_refused(root, path):
    with pytest.raises(PathRefusedError) as caught:
        workspace(root).read(path)
    assert caught.value.code == HOSTILE[path]
    assert "secret" not in str(caught.value).replace("secret.txt", "")


@pytest.mark.parametrize(
    "path", ["link_folder", "loop", "..", "/", "notes/today.txt", "fifo", "self", "missing"]
)
def test_only_folders_inside_are_listed(root, path):
    with pytest.raises(PathRefusedError):
        workspace(root).entries(path)


def test_entries_tell_what_they_are(root):
    entries, more = workspace(root).entries(".")
    kinds = {entry.name: entry.kind for entry in entries}
    assert not more
    assert kinds["notes"] == "folder"
    assert kinds["empty.txt"] == "file"
    assert {kinds[name] for name in ("link.txt", "link_folder", "loop", "self", "fifo")} == {"other"}
    assert "odd\ufffd.txt" in kinds
    assert workspace(root).entries("notes")[0][0].size_bytes == len("buy milk")
    assert workspace(root, max_entries=3).entries("")[1]


def test_sockets_and_devices_are_no_files(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(PathRefusedError, match="no regular file"):
            workspace(root).read("socket")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_devices_are_no_files(root):
    try:
        os.mknod(root / "zero", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("the system does not let root make device nodes here")
    with pytest.raises(PathRefusedError, match="no regular file"):
        workspace(root).read("zero")


def test_hard_links_are_read_where_they_are_allowed(root):
    assert workspace(root, allow_hard_links=True).read("hard.txt")[0] == "secret"


def test_huge_files_are_cut_between_characters(root):
    (root / "huge.txt").write_text("\N{EURO SIGN}" * 100_000)
    text, size_bytes, end, cut = workspace(root, max_read_bytes=1_000).read("huge.txt")
    assert end == 999
    assert (text, size_bytes, cut) == ("\N{EURO SIGN}" * 333, 300_000, True)
    with (root / "sparse.txt").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PathRefusedError, match="binary"):
        workspace(root).read("sparse.txt")


def test_a_long_file_is_read_in_pieces(root):
    (root / "long.txt").write_bytes(("\N{EURO SIGN}x" * 500).encode() + b"\xff" * 5)
    here, pieces = 0, []
    while True:
        piece = workspace(root, max_read_bytes=101).read("long.txt", here)
        pieces.append(piece.text)
        if not piece.cut:
            break
        here = piece.end
    assert "".join(pieces) == "\N{EURO SIGN}x" * 500 + "\ufffd" * 5
    assert len(pieces) == 21
    assert workspace(root).read("long.txt", 10**30).text == ""
    assert workspace(root).read("empty.txt", 5) == ("", 0, 0, False)


def test_a_folder_swapped_for_a_link_never_leads_out(root, outside):
    """The race that a check of the path before its opening loses."""
    (outside / "today.txt").write_text("secret")
    (root / "evil").symlink_to(outside)
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            pathlib.Path(root / "notes").rename(root / "kept")
            pathlib.Path(root / "evil").rename(root / "notes")
            pathlib.Path(root / "notes").rename(root / "evil")
            pathlib.Path(root / "kept").rename(root / "notes")

    swapping = threading.Thread(target=swap)
    swapping.start()
    read = workspace(root)
    seen = set()
    try:
        for _ in range(2_000):
            try:
                seen.add(read.read("notes/today.txt")[0])
            except PathRefusedError as error:
                seen.add(error.code)
    finally:
        stop.set()
        swapping.join()
    assert seen <= {"buy milk", "not_found", "not_a_folder"}


def test_the_walk_sees_files_and_folders_but_no_links_and_nothing_hidden(root):
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("")
    found = dict(workspace(root).walk())
    assert found["notes"] is True
    assert found["notes/today.txt"] is False
    assert not {"link.txt", "link_folder", "loop", "fifo", ".git", ".git/config"} & set(found)
    assert len(list(workspace(root, max_walk=3).walk())) <= 3


def test_the_walk_of_a_deep_tree_ends(root):
    deep = root.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    assert max(path.count("/") for path, _ in workspace(root).walk()) <= 13


def test_the_workspace_is_a_folder_even_behind_a_link(root, tmp_path):
    (tmp_path / "alias").symlink_to(root)
    assert workspace(tmp_path / "alias").read("notes/today.txt")[0] == "buy milk"
    for path in (root / "missing", root / "empty.txt"):
        with pytest.raises(SkillError, match="is no folder"):
            workspace(path)
