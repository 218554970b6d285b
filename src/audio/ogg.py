"""Are the pages of an Ogg file all there, in order, and as they were written?

Decoders drop a damaged page without a word and go on behind it (RFC 3533, section 6).
"""

import zlib
from pathlib import Path
from typing import IO

_FIRST, _LAST = 2, 4  # flags of a stream's first and last page
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def damage(path: Path) -> str:
    """What is wrong with the pages, as part of a sentence; "" where nothing is, or no Ogg.

    Every page must match its CRC-32 and follow the one before it, and each stream must have its
    last page. What comes after the last pages of all streams is not looked at.
    """
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return ""
        file.seek(0)
        fault = _fault_of_streams(file)
        follows = _read_page(file)
        if not fault and follows and follows[5] & _FIRST:
            return "several recordings follow one another in it; divide it"
        return fault


def _fault_of_streams(file: IO[bytes]) -> str:
    """Read until every stream that begins together with the first one has ended."""
    next_number: dict[bytes, int] = {}  # of each stream's next page, by the stream's serial number
    begun = False  # some stream is past its first page, so none may join
    while next_number or not begun:
        page = _read_page(file)
        if page is None:
            return "its last page is missing"
        flags, serial, number = page[5], page[14:18], int.from_bytes(page[18:22], "little")
        if int.from_bytes(page[22:26], "little") != _crc(page):
            return f"page {number} does not match its checksum"
        if flags & _FIRST and not begun and serial not in next_number:
            next_number[serial] = number
        if number != next_number.get(serial):
            return f"page {number} is out of order"
        begun = begun or bool(flags & _LAST) or not flags & _FIRST
        next_number[serial] += 1
        if flags & _LAST:
            del next_number[serial]
    return ""


def _read_page(file: IO[bytes]) -> bytes | None:
    header = file.read(27)
    if len(header) < 27 or header[:4] != b"OggS":
        return None
    segments = file.read(header[26])
    return header + segments + file.read(sum(segments))


def _crc(page: bytes) -> int:
    """Ogg's CRC-32, taken with a checksum field of zeros.

    It is zlib's with the bits of each byte the other way round, from 0 and without inversion.
    """
    bare = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    return int(f"{zlib.crc32(bare, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)
