"""Clips of Speech Commands → one HDF5 file that `SpeechCommands` reads.

    ds/data     int16 (n, 16000)  the waveform, zero-padded; one chunk is one clip
    ds/length   int32 (n,)        samples before the padding
    ds/label    int16 (n,)        index into the attribute `words`
    ds/split    uint8 (n,)        0 train, 1 validation, 2 test
    ds/speaker  bytes (n,)        UTF-8
    ds/id       bytes (n,)        UTF-8, "word/stem"

Clips are stored as they are. They and the columns carry Fletcher-32 checksums, and everything
else those of HDF5's format 1.10, so that a damaged file is noticed when it is read. Compression
was measured on 1,996 clips and left out: gzip with byte shuffling takes 20 kB a clip instead of
32 kB, but 127 µs a random read instead of 22 µs.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from tqdm import tqdm

from src import audio
from src.batch import to_int16
from src.datasets.commands.folder import SPLITS, Clip
from src.datasets.commands.hdf5 import written_aside
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_waits

SCHEMA = "speech-commands"
SCHEMA_VERSION = 1
SAMPLE_RATE = 16000
CLIP_SAMPLES = 16000

_FORMAT = ("v110", "v110")  # the first whose metadata carries checksums throughout
_BLOCK = 256  # clips decoded ahead of the writer: 16 MB


@dataclass(slots=True)
class Packed:
    """What became of the clips."""

    words: list[str]
    clips: Counter[tuple[str, int]] = field(default_factory=Counter)  # by (word, split index)
    cut: list[str] = field(default_factory=list)  # ids of clips longer than one second
    n_padded: int = 0
    unreadable: list[str] = field(default_factory=list)  # one sentence each

    def summary(self) -> dict[str, int]:
        """Counts by split, and of clips that were cut, padded or left out."""
        splits = {name: self.count(split=i) for i, name in enumerate(SPLITS)}
        odd = {"cut": len(self.cut), "padded": self.n_padded, "unreadable": len(self.unreadable)}
        return splits | odd

    def count(self, word: str | None = None, split: int | None = None) -> int:
        """Clips stored, of one word, of one split, or of all."""
        return sum(
            n for (w, s), n in self.clips.items() if word in (None, w) and split in (None, s)
        )


def write_clips(clips: list[Clip], path: Path, source: str, n_threads: int = 2) -> Packed:
    """Decode `clips` and write them to `path`, which appears only when complete.

    Unreadable clips are left out and reported; longer ones are cut to one second.

    Raises:
        UserError: not one clip is readable, or the file can't be written.
    """
    packed = Packed(words=sorted({clip.word for clip in clips}))
    with written_aside(path) as target, _created(target) as file:
        data = file.create_dataset(
            "ds/data",
            shape=(len(clips), CLIP_SAMPLES),
            maxshape=(None, CLIP_SAMPLES),
            chunks=(1, CLIP_SAMPLES),
            dtype=np.int16,
            fletcher32=True,
        )
        kept: list[Clip] = []
        lengths: list[int] = []
        for clip, samples in _decoded(clips, packed, n_threads):
            _note(clip, len(samples), packed)
            samples = samples[:CLIP_SAMPLES]
            data[len(kept), : len(samples)] = samples
            target.check()  # a full disk is noticed here, not after all clips are decoded
            kept.append(clip)
            lengths.append(len(samples))
        if not kept:
            raise UserError(
                f"{source}: not one of the {len(clips)} clips is readable. The first one: "
                f"{packed.unreadable[0]}"
            )
        data.resize(len(kept), axis=0)
        _write_columns(file, kept, lengths, packed.words)
        _write_attributes(file, packed, source)
    return packed


@contextlib.contextmanager
def _created(target: BinaryIO) -> Iterator[h5py.File]:
    """An empty HDF5 file in `target`, closed at the end."""
    with contextlib.ExitStack() as stack:
        # Ctrl-C while HDF5 makes the file would leave it open until Python is half taken down.
        with ctrl_c_waits():
            file = stack.enter_context(h5py.File(target, "w", libver=_FORMAT))
        yield file


def _decoded(
    clips: list[Clip], packed: Packed, n_threads: int
) -> Iterator[tuple[Clip, np.ndarray]]:
    """Readable clips in order, with their samples (N,) int16; the others are noted."""
    with (
        ThreadPoolExecutor(n_threads) as pool,
        tqdm(total=len(clips), desc="packing", unit="clip", disable=None) as bar,
    ):
        for start in range(0, len(clips), _BLOCK):
            block = clips[start : start + _BLOCK]
            for clip, samples in zip(block, pool.map(_read, block), strict=True):
                bar.update()
                if isinstance(samples, UserError):
                    packed.unreadable.append(str(samples))
                else:
                    yield clip, samples


def _read(clip: Clip) -> np.ndarray | UserError:
    """Samples (N,) int16 at 16 kHz, or the reason why there are none."""
    try:
        return to_int16(audio.read(clip.path, SAMPLE_RATE))
    except UserError as error:
        return error


def _note(clip: Clip, n_samples: int, packed: Packed) -> None:
    packed.clips[clip.word, clip.split] += 1
    packed.n_padded += n_samples < CLIP_SAMPLES
    if n_samples > CLIP_SAMPLES:
        packed.cut.append(clip.id)


def _write_columns(file: h5py.File, kept: list[Clip], lengths: list[int], words: list[str]) -> None:
    label = {word: index for index, word in enumerate(words)}
    columns = {
        "length": np.array(lengths, np.int32),
        "label": np.array([label[clip.word] for clip in kept], np.int16),
        "split": np.array([clip.split for clip in kept], np.uint8),
        "speaker": np.array([clip.speaker.encode() for clip in kept]),
        "id": np.array([clip.id.encode() for clip in kept]),
    }
    for name, values in columns.items():
        file.create_dataset(f"ds/{name}", data=values, chunks=values.shape, fletcher32=True)


def _write_attributes(file: h5py.File, packed: Packed, source: str) -> None:
    # Texts of fixed length: others lie in HDF5's global heap, which has no checksum.
    file.attrs["schema"] = np.bytes_(SCHEMA)
    file.attrs["schema_version"] = SCHEMA_VERSION
    file.attrs["sample_rate"] = SAMPLE_RATE
    file.attrs["words"] = np.array([word.encode() for word in packed.words])
    file.attrs["source"] = np.bytes_(source.encode("utf-8", "replace"))
    file.attrs["counts"] = np.bytes_(json.dumps(packed.summary()))
