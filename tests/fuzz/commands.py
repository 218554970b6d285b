"""Spoken words in HDF5: our file and csr-pytorch's folder.

Ours carries a checksum on every byte that is read: Fletcher-32 on the columns and HDF5's own
(lookup3) on its metadata, so what is accepted must be the original. csr-pytorch's files carry
none: other samples, and rows moved to another split or word, can't be told.
"""

import zlib
from pathlib import Path

import h5py
import numpy as np

from src.datasets import SpeechCommands, SpeechCommandsCSR
from tests.datasets.commands.tiny_commands import pack_corpus
from tests.fuzz.audio import plausible, speech
from tests.fuzz.mutations import damaged, scribbled
from tests.fuzz.pool import expect

WORDS = ("bed", "down", "yes")
N_CLIPS = 12


class Ours:
    """The file of scripts.prepare_speech_commands."""

    name = "hdf5"

    def prepare(self, originals: Path) -> None:
        _, path = pack_corpus(originals, lengths=(16_000, 4_000))
        np.save(path.with_suffix(".places.npy"), _places(path))
        np.save(originals / "truth.npy", _content(SpeechCommands(path, "train", None)))

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        content = _damaged_file(originals / "commands.h5", random)
        (case / "commands.h5").write_bytes(content)

    def check(self, originals: Path, case: Path) -> None:
        found = _content(SpeechCommands(case / "commands.h5", "train", None))
        truth = np.load(originals / "truth.npy")
        expect(len(found) == len(truth), f"{len(found)} clips of {len(truth)}")
        different = np.flatnonzero(found != truth)
        expect(not len(different), f"{len(different)} clips are others, first {different[:1]}")


class CSR:
    """csr-pytorch's HDF5 file and its five CSV files."""

    name = "csr-hdf5"

    def prepare(self, originals: Path) -> None:
        data = np.zeros((N_CLIPS, 16_000), np.float32)
        data[:, :8_000] = speech()[4_000:12_000]
        with h5py.File(originals / "allWavIdx.hdf5", "w") as file:
            file["ds/data"], file["ds/label"] = data, np.arange(N_CLIPS) % len(WORDS)
        np.save(originals / "allWavIdx.places.npy", _places(originals / "allWavIdx.hdf5"))
        pairs = [(word, str(index)) for index, word in enumerate(WORDS)]
        tables = {
            "index_label_ID_table.csv": "".join(f"{w},{i}\n" for w, i in pairs),
            "label_index_ID_table.csv": "".join(f"{i},{w}\n" for w, i in pairs),
            "train_idx.csv": "0,1,2,3,4,5,6,7\n",
            "validation_idx.csv": "8,9\n",
            "test_idx.csv": "10,11\n",
        }
        for name, text in tables.items():
            (originals / name).write_text(text)

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        names = sorted(path.name for path in originals.iterdir() if path.suffix != ".npy")
        target = names[0] if random.random() < 0.6 else names[random.integers(len(names))]
        for name in names:
            content = (originals / name).read_bytes()
            if name == target and name.endswith(".hdf5"):
                content = _damaged_file(originals / name, random)
            elif name == target:
                content = scribbled(content.decode(), random)
            (case / name).write_bytes(content)

    def check(self, originals: Path, case: Path) -> None:
        dataset = SpeechCommandsCSR(case, "train", None)
        expect(len(set(dataset.ids)) == len(dataset) > 0, "ids twice")
        for row in range(len(dataset)):
            utterance = dataset[row]
            plausible(utterance.waveform)
            expect(len(utterance.waveform) / 16_000 == dataset.durations_s[row], "duration")
            expect(bool(utterance.transcript), "no word")


KINDS = [Ours(), CSR()]


def _places(path: Path) -> np.ndarray:
    """Bytes of an HDF5 file that are no samples and not empty: its metadata and columns."""
    used = np.frombuffer(path.read_bytes(), np.uint8) != 0
    with h5py.File(path) as file:
        data = file["ds/data"].id
        spans = [(data.get_offset(), data.get_storage_size())]
        if data.get_offset() is None:
            chunks = map(data.get_chunk_info, range(data.get_num_chunks()))
            spans = [(chunk.byte_offset, chunk.size) for chunk in chunks]
    for start, size in spans:
        used[start : start + size] = False
    return np.flatnonzero(used)


def _damaged_file(path: Path, random: np.random.Generator) -> bytes:
    """Some hundred bytes at most, mostly of metadata; now and then any part of the file."""
    content = path.read_bytes()
    if random.random() < 0.2:
        return damaged(content, random)[0]
    places = np.load(path.with_suffix(".places.npy"))
    start, size = int(random.choice(places)), int(random.integers(1, 200))
    piece = damaged(content[start : start + size], random, [content[:4096]])[0]
    if random.random() < 0.8:  # the size kept, as on a bad disk
        piece = piece[:size].ljust(size, b"\0")
    return content[:start] + piece + content[start + size :]


def _content(dataset: SpeechCommands) -> np.ndarray:
    """(n,) bytes: all that is known of each clip."""
    rows = [dataset[row] for row in range(len(dataset))]
    return np.array(
        [
            f"{u.id} {u.transcript} {u.speaker} {_digest(u.waveform)}".encode("utf-8", "replace")
            for u in rows
        ]
    )


def _digest(waveform: np.ndarray) -> str:
    """Length and checksum of a waveform, after refusing what no reader may return."""
    as_float = waveform / np.float32(32768) if waveform.dtype == np.int16 else waveform
    plausible(as_float.astype(np.float32))
    return f"{len(waveform)} {zlib.crc32(np.ascontiguousarray(waveform).tobytes())}"
