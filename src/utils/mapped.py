"""Arrays in one file that is mapped into memory, not read: it opens at once whatever its size,
and the processes of a machine share its pages.

Layout: magic, length and CRC-32 of a JSON header; the header (what the arrays are, and `info`);
the arrays as they lie in memory, each on a multiple of 64 bytes.
"""

import hashlib
import json
import mmap
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.utils.errors import UserError
from src.utils.files import atomic_write

MAGIC = b"arrays1\n"
HEAD = struct.Struct("<8sQI")
ALIGNMENT = 64  # bytes
# Larger arrays are not checked against their CRC when a file is opened: reading them would take
# longer than all else.
CHECKED_BYTES = 64 * 2**20


class MappedArrays(Mapping[str, np.ndarray]):
    """The arrays of a file by name, read-only; pickled as the file's path.

    Args:
        path: made by `write_arrays`.
        digest: what the file must hold (see the attribute); None takes what is there.

    Attributes:
        info: the plain values that were stored with the arrays.
        digest: SHA-256 of the header, which has checksums of the arrays: equal digests are equal
            files.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or not one of ours.
        UserError: it holds something else than `digest` says.
    """

    def __init__(self, path: str | Path, digest: str | None = None) -> None:
        self.path = Path(path).absolute()
        try:
            with self.path.open("rb") as file:
                header, start = _read_header(file)
                self.digest = hashlib.sha256(header).hexdigest()
                buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            if digest is None:
                raise
            self.digest = ""
        if digest is not None and digest != self.digest:
            raise UserError(
                f"{self.path}: was replaced or deleted while a run reads it; the corpus seems to "
                "have changed. Start the run again."
            )
        try:
            content = json.loads(header)
            self.info: dict[str, Any] = content["info"]
            if len(buffer) != start + content["n_bytes"]:
                raise ValueError(f"{len(buffer)} bytes instead of {start + content['n_bytes']}")
            places = content["arrays"].items()
            self._arrays = {name: _array(buffer, start, name, **place) for name, place in places}
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"its header doesn't tell of arrays: {error}") from error

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple:
        # A spawned worker maps the file anew; the arrays' bytes don't travel through a pipe.
        return MappedArrays, (self.path, self.digest)


def write_arrays(
    path: str | Path, info: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Store arrays of numbers, and plain values about them, atomically.

    Raises:
        UserError: the folder can't be written or the disk is full.
    """
    places, end = {}, 0
    columns = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in columns.items():
        begin = end + -end % ALIGNMENT
        places[name] = {
            "dtype": array.dtype.str,
            "shape": array.shape,
            "begin": begin,
            "crc": zlib.crc32(_bytes(array)),
        }
        end = begin + array.nbytes
    header = json.dumps({"info": info, "n_bytes": end, "arrays": places}).encode()
    header += b" " * (-(HEAD.size + len(header)) % ALIGNMENT)
    with atomic_write(path) as file:
        file.write(HEAD.pack(MAGIC, len(header), zlib.crc32(header)) + header)
        written = 0
        for name, array in columns.items():
            file.write(bytes(places[name]["begin"] - written))
            file.write(_bytes(array))
            written = places[name]["begin"] + array.nbytes


def _read_header(file) -> tuple[bytes, int]:
    """The JSON header and where the arrays begin."""
    head = file.read(HEAD.size)
    magic, length, crc = HEAD.unpack(head) if len(head) == HEAD.size else (b"", 0, 0)
    if magic != MAGIC:
        raise ValueError("it doesn't begin as it should")
    header = file.read(min(length, CHECKED_BYTES))
    if len(header) != length or zlib.crc32(header) != crc:
        raise ValueError("its header is cut short or altered")
    return header, HEAD.size + length


def _array(
    buffer: mmap.mmap, start: int, name: str, dtype: str, shape: list[int], begin: int, crc: int
) -> np.ndarray:
    array = np.frombuffer(buffer, dtype, int(np.prod(shape)), start + begin).reshape(shape)
    if array.nbytes <= CHECKED_BYTES and zlib.crc32(_bytes(array)) != crc:
        raise ValueError(f"its {name} are altered")
    return array


def _bytes(array: np.ndarray) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))
