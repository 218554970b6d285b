"""Does a FLAC file hold the samples that its encoder was given?

The encoder's MD5 of them stands in the header, where libsndfile leaves it unread.
"""

import hashlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

# Code in a frame's header → Hz; other codes stand for rates spelt out elsewhere.
_RATES = dict(
    enumerate(
        (88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000), start=1
    )
)
_BEGINNING = (
    b"fLaC\0\0\0\x22"  # the marker, and the header of the block of 34 bytes that must follow
)


@dataclass(frozen=True)
class StreamInfo:
    """What the first metadata block says (RFC 9639, section 8.2)."""

    rate: int  # Hz
    bits: int  # of a sample
    md5: bytes  # of all samples; zeros where the encoder did not know
    frame_rate: int | None  # Hz, as the first frame has it; None where it does not say

    def damage(self, samples: np.ndarray) -> str:
        """What is wrong, as part of a sentence; "" where nothing is or nobody can tell.

        Args:
            samples: all of the file's, (n, C) float32, which is exact up to 24 bits.
        """
        if self.frame_rate not in (None, self.rate):
            return f"its header says {self.rate} Hz, its sound {self.frame_rate} Hz"
        if any(self.md5) and self.bits <= 24 and self.md5 != md5(samples, self.bits):
            return "its samples do not match their checksum"
        return ""


def stream_info(path: Path) -> StreamInfo | None:
    """The header of a FLAC file; None for any other file."""
    with path.open("rb") as file:
        head = file.read(42)
        if len(head) < 42 or head[:5] not in (b"fLaC\0", b"fLaC\x80"):
            return None
        fields = int.from_bytes(head[18:26], "big")  # rate 20 bits, channels 3, bits 5, samples 36
        return StreamInfo(
            rate=fields >> 44,
            bits=(fields >> 36 & 31) + 1,
            md5=head[26:],
            frame_rate=_frame_rate(file, is_last=bool(head[4] & 0x80)),
        )


def several(path: Path) -> bool:
    """Does another FLAC begin in the file, as where two were put together?"""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_BEGINNING, len(_BEGINNING)) > 0


def md5(samples: np.ndarray, bits: int) -> bytes:
    """Of samples (n, C) float32 in −1 … 1 as the integers they were: whole bytes, low one first."""
    integers = np.rint(samples * np.float32(1 << (bits - 1)))
    if bits == 16:  # nearly always, and worth a shorter way
        packed = integers.astype("<i2")
    else:
        whole = integers.astype("<i4")[..., None].view(np.uint8)
        packed = np.ascontiguousarray(whole[..., : (bits + 7) // 8])
    return hashlib.md5(packed, usedforsecurity=False).digest()


def _frame_rate(file: IO[bytes], is_last: bool) -> int | None:
    """The rate in the first frame's header; `file` stands after the first metadata block."""
    while not is_last:
        block = file.read(4)
        if len(block) < 4:
            return None
        is_last = bool(block[0] & 0x80)
        file.seek(int.from_bytes(block[1:], "big"), 1)
    frame = file.read(3)
    return _RATES.get(frame[2] & 15) if len(frame) == 3 and frame[0] == 0xFF else None
