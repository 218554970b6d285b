"""How much sound an MP3 holds: its first frame may tell, nothing else does.

Encoders that can go back to the beginning write a first frame without sound, which counts the
frames and bytes that follow ("Xing" or "Info", or Fraunhofer's "VBRI"). Where it is missing
decoders guess from the bit rate of one frame, and stop where the guess ends.
"""

from pathlib import Path
from typing import IO

_LONGEST_HEAD = 1 << 16  # bytes that are looked through for the first frame
_HAS_BYTES = 2  # flag of a Xing frame; its number of frames comes before, its index after
_ID3 = b"ID3"


def tells_length(path: Path) -> bool:
    """Does the first frame count the others?"""
    return _counts(_head(path)[1]) is not None


def several(path: Path) -> bool:
    """Does another recording follow the one that the first frame counts?"""
    begin, head = _head(path)
    n_bytes = _counts(head)
    if not n_bytes:
        return False
    with path.open("rb") as file:
        file.seek(begin + n_bytes)
        follows = file.read(4)
    return follows[:3] == _ID3 or _is_frame(follows)


def _head(path: Path) -> tuple[int, bytes]:
    """Where the first frame begins, and what is there; nothing where there is none."""
    with path.open("rb") as file:
        begin = _end_of_tags(file)
        file.seek(begin)
        head = file.read(_LONGEST_HEAD)
    first = next((i for i in range(len(head) - 3) if _is_frame(head[i : i + 4])), len(head))
    return begin + first, head[first:]


def _end_of_tags(file: IO[bytes]) -> int:
    """Where the ID3 tags at the beginning end; sizes have seven bits a byte (ID3v2.4, 3.1)."""
    position = 0
    while True:
        file.seek(position)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != _ID3:
            return position
        size = sum(
            (byte & 127) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True)
        )
        position += 10 + size + (10 if tag[5] & 16 else 0)  # and a footer


def _is_frame(header: bytes) -> bool:
    """Are these four bytes the header of an MPEG audio frame (ISO 11172-3, section 2.4.1.3)?"""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return False
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    return version != 1 and layer != 0 and bit_rate not in (0, 15) and rate != 3


def _counts(frame: bytes) -> int | None:
    """Bytes of the recording by its first frame, 0 where it counts frames only, None if neither."""
    if len(frame) < 4:
        return None
    is_mpeg_1, is_mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    side = (17 if is_mono else 32) if is_mpeg_1 else (9 if is_mono else 17)
    tag = frame[4 + side :]
    if tag[:4] in (b"Xing", b"Info") and tag[7] & 1:
        return int.from_bytes(tag[12:16], "big") if tag[7] & _HAS_BYTES else 0
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[46:50], "big")
    return None
