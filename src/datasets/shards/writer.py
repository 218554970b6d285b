"""Writes the recordings of a dataset into shards, and goes on where a killed run stopped."""

import dataclasses
import hashlib
import itertools
import json
import logging
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset
from tqdm import tqdm

from src.batch import Utterance
from src.datasets.excerpts import excerpt_of
from src.datasets.loading.batches import Batches
from src.datasets.loading.loader import Loader, make_loader
from src.datasets.loading.pcm_builder import stamp_of
from src.datasets.shards.files import (
    FORMAT,
    INDEX,
    LEFT_OUT,
    SAMPLE,
    add_json,
    add_utterance,
    shard_name,
    write_index,
)
from src.utils.errors import UserError
from src.utils.files import atomic_write, remove_leftovers, write_json
from src.utils.locks import in_turn
from src.utils.packed import PickedStrings
from src.utils.tables import counted

logger = logging.getLogger(__name__)

SETTINGS = "shards.json"
BATCH = 16  # utterances handed over at a time
OVERHEAD = 2600  # bytes of an utterance beside its samples: tar and WAV headers, JSON, padding


def write_shards(
    dataset: Dataset[Utterance], folder: Path, *, shard_mb: float, seed: int, **reading: Any
) -> tuple[int, int, dict[str, str]]:
    """Write all utterances to `folder`, in an order that the seed decides.

    A shuffled order, because a stream can only shuffle within its buffer: neighbours in a corpus
    are of one speaker. The same arguments give the same bytes. Each shard appears when it is
    whole, the index when all are; a run that is repeated makes the shards that are missing, and
    one beside another waits for it.

    Args:
        shard_mb: megabytes (10⁶ bytes) that a shard may have.
        reading: keys of `make_loader` for reading the dataset.

    Returns:
        Number of shards, number of utterances in them, and id → reason of those left out.

    Raises:
        UserError: the folder holds something else or can't be written, or too many recordings
            can't be read (`max_unreadable`).
    """
    rows = np.random.default_rng(seed).permutation(len(dataset))
    sizes = dataset.durations_s[rows] * dataset.sample_rate * SAMPLE.itemsize + OVERHEAD
    offsets = cut(sizes.tolist(), shard_mb * 1e6)
    settings = _settings(dataset, shard_mb, seed, len(offsets) - 1)
    with in_turn(folder, "packing recordings"):  # and find the shards made, after another
        _settle(folder, settings)
        missing = [n for n in range(len(offsets) - 1) if not (folder / shard_name(n)).is_file()]
        if missing:
            (folder / INDEX).unlink(missing_ok=True)  # for as long as it would not be true
            rows_of = [rows[a:b] for a, b in itertools.pairwise(offsets)]
            _fill(dataset, folder, missing, rows_of, reading)
        n_utterances, left_out = write_index(folder, len(offsets) - 1, dataset.sample_rate)
    return len(offsets) - 1, n_utterances, left_out


def cut(sizes: Sequence[float], most: float) -> list[int]:
    """Where shards begin, and the last one ends: each as full as `most` allows, or of one."""
    offsets, filled = [0], 0.0
    for place, size in enumerate(sizes):
        if filled and filled + size > most:
            offsets.append(place)
            filled = 0.0
        filled += size
    return [*offsets, len(sizes)]


def _settings(dataset: Any, shard_mb: float, seed: int, n_shards: int) -> dict[str, Any]:
    digest = hashlib.sha256(np.ascontiguousarray(dataset.durations_s, np.float32))
    # Where nothing can be told without the sound, as of spoken commands, the id has the word.
    describe = getattr(dataset, "describe", None)
    for row, name in enumerate(dataset.ids):
        known = describe(row) if describe else None
        words = f"{known.transcript}\0{known.speaker}\0" if known else ""
        words += excerpt_of(dataset, row)
        digest.update(f"{name}\0{words}".encode("utf-8", "surrogateescape"))
    files = {"files": stamp_of(dataset)} if hasattr(dataset, "source") else {}
    return files | {
        "format": FORMAT,
        "n_utterances": len(dataset),
        "utterances": digest.hexdigest(),
        "sample_rate": dataset.sample_rate,
        "shard_mb": shard_mb,
        "seed": seed,
        "n_shards": n_shards,
    }


def _settle(folder: Path, settings: dict[str, Any]) -> None:
    """Note the settings, or make sure that what is there is of these."""
    path = folder / SETTINGS
    if not path.exists():
        if any(folder.glob("[!.]*")):
            raise UserError(f"{folder}: holds something else; choose another --out.")
        write_json(path, settings)
        return
    remove_leftovers(folder)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error}); delete the folder.") from error
    found.setdefault("files", settings.get("files"))  # shards made before it was noted
    differing = [key for key in settings if found.get(key) != settings[key]]
    if differing:
        raise UserError(
            f"{folder}: holds shards that were made of something else ({', '.join(differing)} "
            "differ). Delete the folder, or choose another --out."
        )


def _fill(
    dataset: Dataset[Utterance],
    folder: Path,
    missing: list[int],
    rows_of: list[np.ndarray],
    reading: dict[str, Any],
) -> None:
    """Write the shards that are missing."""
    wanted = _Chosen(dataset, np.concatenate([rows_of[number] for number in missing]))
    loader = make_loader(wanted, Batches(wanted.durations_s, BATCH, shuffle=False), **reading)
    utterances = _one_by_one(loader, wanted)
    n_there = len(dataset) - len(wanted)
    if n_there:
        logger.info("%s: going on after %s.", folder, counted(n_there, "utterance"))
    bar = tqdm(total=len(dataset), initial=n_there, desc="packing", unit="utt", disable=None)
    with bar:
        for number in missing:
            with (
                atomic_write(folder / shard_name(number)) as file,
                tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
            ):
                left_out = {}
                for place in range(len(rows_of[number])):
                    name, about, samples = next(utterances)
                    if samples is None:
                        left_out[name] = loader.unreadable.reasons[name]
                    else:
                        add_utterance(tar, place, about, samples, dataset.sample_rate)
                    bar.update()
                add_json(tar, LEFT_OUT, left_out)


def _one_by_one(
    loader: Loader, wanted: "_Chosen"
) -> Iterator[tuple[str, dict[str, str], np.ndarray | None]]:
    """Id, what is known and the samples of each utterance; None where it can't be read."""
    for number, batch in enumerate(loader):
        found = {}
        for place, name in enumerate(batch.ids):
            transcript, speaker = json.loads(batch.transcripts[place])
            about = {"id": name, "transcript": transcript, "speaker": speaker}
            found[name] = (about, batch.waveforms[place, : batch.waveform_lengths[place]].numpy())
        for row in range(number * BATCH, min((number + 1) * BATCH, len(wanted))):
            name = str(wanted.ids[row])
            yield name, *found.get(name, ({}, None))


class _Chosen(Dataset[Utterance]):
    """Some utterances of a dataset. A batch has no room for the speaker, so that it travels with
    the transcript."""

    def __init__(self, dataset: Any, rows: np.ndarray) -> None:
        self.durations_s = dataset.durations_s[rows]
        self.ids = PickedStrings([dataset.ids], rows)
        self._dataset = dataset
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Utterance:
        utterance = self._dataset[int(self._rows[index])]
        known = json.dumps([utterance.transcript, utterance.speaker])
        return dataclasses.replace(utterance, transcript=known)
