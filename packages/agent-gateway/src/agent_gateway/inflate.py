"""Unpacks a compressed body piece by piece, so that a few kilobytes that stand for gigabytes are never whole in
memory. Pure.
"""

import zlib
from collections.abc import Iterator

ACCEPTED = ("gzip", "deflate")
"""The encodings that can be unpacked here, as `accept-encoding` names them."""
_EITHER = zlib.MAX_WBITS | 32  # zlib looks for itself which of the two it is
_PIECE_BYTES = 256 * 1024


class Inflater:
    """Unpacks one body of gzip or zlib, of several members too (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_EITHER)
        self._began = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The next bytes, unpacked, in pieces of at most 256 KiB; unpacks no further than it is iterated.

        Raises:
            zlib.error: this is neither.
        """
        while data:
            if self._zlib.eof:
                self._zlib = zlib.decompressobj(_EITHER)
            self._began = True
            yield self._zlib.decompress(data, _PIECE_BYTES)
            data = self._zlib.unconsumed_tail or self._zlib.unused_data

    @property
    def is_whole(self) -> bool:
        """Whether the bytes so far end where a body ends."""
        return self._zlib.eof or not self._began
