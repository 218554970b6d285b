"""Do WAV, AIFF and Ogg files hold all the bytes that their own headers promise?

libsndfile reads what is left of a file that was cut short without a word.
"""

from pathlib import Path
from typing import IO

_UNKNOWN_LENGTH = 0x7FFF_F000  # writers into a pipe leave at least this, or 0
_SLOPPY_BYTES = 64  # some writers count their own header as sound


def missing_bytes(path: Path) -> int:
    """Bytes promised beyond the end of the file; 0 where all is there or nobody can tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(12)[:4]
        if magic == b"RIFF":
            missing = _sound_chunk_end(file, size, b"data", "little") - size
        elif magic == b"FORM":
            missing = _sound_chunk_end(file, size, b"SSND", "big") - size
        elif magic == b"OggS":
            return max(0, _last_page_end(file) - size)
        else:
            return 0
    return missing if missing > _SLOPPY_BYTES else 0


def _sound_chunk_end(file: IO[bytes], size: int, name: bytes, byte_order: str) -> int:
    """Where the chunk `name` ends by its header; 0 where its length is not given."""
    position = 12
    while position + 8 <= size:
        file.seek(position)
        header = file.read(8)
        length = int.from_bytes(header[4:], byte_order)
        if header[:4] == name:
            return 0 if length >= _UNKNOWN_LENGTH else position + 8 + length
        position += 8 + length + length % 2  # chunks begin on even bytes
    return 0


def _last_page_end(file: IO[bytes]) -> int:
    """Where the last page ends by its header (RFC 3533, section 6).

    Pages are walked from the start: the letters "OggS" also occur inside compressed sound,
    so looking for them from the end refuses good files.
    """
    position = 0
    while True:
        file.seek(position)
        header = file.read(27)
        if len(header) < 27 or header[:4] != b"OggS":
            return position  # the end of the file, or damage that the decoder will meet
        segments = file.read(header[26])
        position += 27 + header[26] + sum(segments)
