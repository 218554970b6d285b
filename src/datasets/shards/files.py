"""Shards: a part of a corpus as a few large tar files, and an index of what lies where in them.

    PART/00000.tar …   for each utterance N.json (id, transcript, speaker, samples, CRC-32) and
                       N.wav (16 bit, mono); at the end left_out.json (id → why it isn't there)
    PART/index.arrays  of each utterance: number of its shard, byte at which its samples begin,
                       their count and CRC-32, its id, transcript and speaker
    PART/shards.json   what the shards were made of

The tar files are plain ones: `tar xf` unpacks them, and readers of WebDataset's layout read them.
"""

import io
import json
import os
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.utils.errors import UserError
from src.utils.mapped import MappedArrays, write_arrays
from src.utils.packed import PackedStrings

FORMAT = 1
INDEX = "index.arrays"
LEFT_OUT = "left_out.json"
SAMPLE = np.dtype("<i2")
WAV_HEADER = 44  # bytes before the samples, as `wav_of` writes them
STRINGS = ("ids", "transcripts", "speakers")
MOST_OPEN = 16  # files; a corpus may have thousands of shards


class Entry(NamedTuple):
    """One utterance of a shard."""

    id: str
    transcript: str
    speaker: str
    begin: int  # byte of its first sample in the shard
    n_samples: int
    crc: int  # CRC-32 of the samples


def shard_name(number: int) -> str:
    """`00007.tar`."""
    return f"{number:05d}.tar"


def wav_of(samples: np.ndarray, sample_rate: int) -> bytes:
    """A 16-bit mono WAV file of (N,) int16, with the shortest header there is."""
    data = samples.astype(SAMPLE, copy=False).tobytes()
    form = struct.pack("<HHIIHH", 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    chunks = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def add_utterance(
    tar: tarfile.TarFile, number: int, about: dict[str, Any], samples: np.ndarray, sample_rate: int
) -> None:
    """Append utterance `number`, (N,) int16; `about` has its id, transcript and speaker."""
    crc = zlib.crc32(samples.astype(SAMPLE, copy=False))
    add_json(tar, f"{number:08d}.json", about | {"n_samples": len(samples), "crc32": crc})
    _add(tar, f"{number:08d}.wav", wav_of(samples, sample_rate))


def add_json(tar: tarfile.TarFile, name: str, value: Any) -> None:
    """Append a file of JSON, in ASCII so that any name survives."""
    _add(tar, name, json.dumps(value).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # without owner and date: the same content is the same bytes
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def scan(path: Path) -> tuple[list[Entry], dict[str, str]]:
    """The utterances of a shard and what is left out of it, from its headers; no sound is read.

    Raises:
        UserError: it is no shard, or damaged.
    """
    entries, about, left_out = [], {}, None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.name.endswith(".wav"):
                    place = (member.offset_data + WAV_HEADER, about["n_samples"], about["crc32"])
                    entries.append(Entry(*(about[s.removesuffix("s")] for s in STRINGS), *place))
                else:
                    about = json.load(tar.extractfile(member))
                    left_out = about if member.name == LEFT_OUT else None
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is no shard of ours, or damaged ({error}). Delete it.") from error
    if left_out is None:
        raise UserError(f"{path}: its end is missing. Delete it, and write the shards again.")
    return entries, left_out


def write_index(folder: Path, n_shards: int, sample_rate: int) -> tuple[int, dict[str, str]]:
    """Write the index of all shards; the number of utterances, and those that are left out."""
    entries: list[Entry] = []
    shards: list[int] = []
    left_out: dict[str, str] = {}
    for number in range(n_shards):
        found, missing = scan(folder / shard_name(number))
        entries += found
        shards += [number] * len(found)
        left_out |= missing
    arrays = {
        "shard": np.array(shards, np.int32),
        "begin": np.array([entry.begin for entry in entries], np.int64),
        "n_samples": np.array([entry.n_samples for entry in entries], np.int64),
        "crc": np.array([entry.crc for entry in entries], np.uint32),
    }
    for name, column in zip(STRINGS, list(zip(*entries, strict=True))[:3] or [()] * 3, strict=True):
        packed = PackedStrings.of(column)
        arrays |= {name: packed.data, f"{name}_offsets": packed.offsets}
    about = {"format": FORMAT, "sample_rate": sample_rate, "left_out": left_out}
    write_arrays(folder / INDEX, about, arrays)
    return len(entries), left_out


def read_index(folder: Path) -> MappedArrays:
    """The index of a part.

    Raises:
        UserError: there is none, or it is damaged or of another version.
    """
    again = "Write it with python -m scripts.write_shards (the same command as before goes on)."
    if not (folder / INDEX).is_file():
        parts = sorted(path.parent.name for path in folder.parent.glob(f"*/{INDEX}"))
        there = f" There is {', '.join(parts)}." if parts else ""
        raise UserError(f"{folder}: has no {INDEX}, so no shards that are complete.{there} {again}")
    try:
        index = MappedArrays(folder / INDEX)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / INDEX}: is damaged ({error}). Delete it. {again}") from error
    if index.info.get("format") != FORMAT:
        raise UserError(f"{folder / INDEX}: was made by another version. Delete it. {again}")
    return index


def strings_of(index: MappedArrays, name: str) -> PackedStrings:
    """A column of text."""
    return PackedStrings(index[name], index[f"{name}_offsets"])


class ShardReader:
    """Reads samples out of the shards of a folder. Safe in forked and in spawned workers.

    With `pread`, which keeps no place in the file, so that processes may share its descriptor.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, int] = {}  # shard → descriptor, the latest last

    def read(self, shard: int, begin: int, n_samples: int, crc: int, name: str) -> np.ndarray:
        """(n_samples,) int16 from byte `begin` of a shard on.

        Raises:
            UserError: the shard is missing or ends too early, or the samples of `name` do not
                match their CRC-32.
        """
        path = self._folder / shard_name(shard)
        again = "Delete it, and run python -m scripts.write_shards again."
        samples = np.empty(n_samples, SAMPLE)
        try:
            n_read = os.preadv(self._descriptor(shard, path), [samples], begin)
        except OSError as error:
            raise UserError(f"{path}: can't be read ({error.strerror or error}).") from error
        if n_read < samples.nbytes:
            raise UserError(f"{path}: ends too early, at or before the samples of {name}. {again}")
        if zlib.crc32(samples) != crc:
            raise UserError(f"{path}: the samples of {name} do not match their checksum. {again}")
        return samples.astype(np.int16, copy=False)

    def _descriptor(self, shard: int, path: Path) -> int:
        descriptor = self._open.pop(shard, None)
        if descriptor is None:
            descriptor = os.open(path, os.O_RDONLY)
            if len(self._open) >= MOST_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
        self._open[shard] = descriptor
        return descriptor

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_open": {}}

    def __del__(self) -> None:
        for descriptor in self.__dict__.get("_open", {}).values():
            os.close(descriptor)
