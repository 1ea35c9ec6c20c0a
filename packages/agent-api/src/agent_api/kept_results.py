"""What became of work in the background, in a file each: it can be asked about after a restart."""

import logging
import re
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

V = TypeVar("V")

KEPT = 100
"""So many that are over can be asked about; then the oldest go."""
_ID = re.compile(r"[a-z]+_[0-9a-f]+")

logger = logging.getLogger("agentd")


class KeptResults(Generic[V]):
    """The results of one kind of work. Its calls block, for about a millisecond."""

    def __init__(self, folder: Path, kind: type[V]) -> None:
        """Nothing is made before there is something to keep."""
        self._folder = folder
        self._kind = kind

    def find(self, work_id: str) -> V | None:
        """What became of one; None: there is none of that id, or it was over long ago."""
        if not _ID.fullmatch(work_id):
            return None
        try:
            return msgspec.json.decode((self._folder / f"{work_id}.json").read_bytes(), type=self._kind)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def keep(self, work_id: str, result: V) -> None:
        """Write down what became of one. It is done all the same where that cannot be."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = self._folder / f"{work_id}.json.part"
            part.write_bytes(msgspec.json.encode(result))
            part.replace(self._folder / f"{work_id}.json")
            kept = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in kept[:-KEPT]:
                path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("what became of %s is not kept: %s", work_id, error)
