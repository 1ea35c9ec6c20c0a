"""What a worker says of a call that failed. A worker may say anything, so each part is read on its own or not at all."""

import msgspec

MAX_REASON_CHARS = 400


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An exception, described by the worker in which it was raised."""

    kind: str = ""
    """Which of our own errors it is; empty: none."""
    type: str = "Exception"
    message: str = ""
    reason: str = ""
    path: str = "$"
    code: str = ""
    may_pass: bool = False
    type_name: str = ""
    """Of a value that is no text and no JSON."""
    trace: str = ""

    @classmethod
    def read(cls, said: object) -> "Failure":
        """What was said, as far as it can be read."""
        try:
            return msgspec.convert(said, cls)
        except msgspec.ValidationError:
            return cls()

    @property
    def line(self) -> str:
        """Type and text in one line."""
        return " ".join(f"{self.type}: {self.message}".split()).rstrip(":")[:MAX_REASON_CHARS]
