"""Makes a packed cache: decodes everything once, and goes on where a killed run stopped."""

import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from src.batch import Batch
from src.datasets.excerpts import excerpt_of
from src.datasets.loading.batches import Batches
from src.datasets.loading.loader import make_loader
from src.utils.errors import UserError
from src.utils.files import sync_folder
from src.utils.locks import in_turn
from src.utils.mapped import write_arrays
from src.utils.tables import counted

logger = logging.getLogger(__name__)

FORMAT = 2
INDEX = "index.arrays"
SAMPLE = np.dtype("<i2")
BATCH = 32  # utterances
KEPT_EVERY = 50  # batches; a killed run loses no more than these
MOST_LOOKED_AT = 100_000  # files (2 s); of larger corpora as many, evenly spread


def identify(dataset) -> tuple[str, str]:
    """A name for the utterances of a dataset, and a stamp of the files they are in now."""
    name = hashlib.sha256(f"{FORMAT} {dataset.sample_rate} {len(dataset)}".encode())
    name.update(np.ascontiguousarray(dataset.durations_s, np.float32))
    for row, told in enumerate(dataset.ids):
        words = f"{told}\0{dataset.source(row)}\0{excerpt_of(dataset, row)}"
        name.update(words.encode("utf-8", "surrogateescape"))
    return name.hexdigest()[:16], stamp_of(dataset)


def stamp_of(dataset) -> str:
    """Sizes and dates of the files that the utterances are in now; other sound has others."""
    stamp = hashlib.sha256()
    n = len(dataset)
    for row in np.linspace(0, n - 1, min(n, MOST_LOOKED_AT)).round().astype(int).tolist():
        try:
            status = dataset.source(row).stat()
            stamp.update(b"%d %d\0" % (status.st_size, status.st_mtime_ns))
        except OSError:
            stamp.update(b"gone\0")
    return stamp.hexdigest()


def build(dataset, path: Path, stamp: str, is_there: Callable[[], bool], **reading: Any) -> None:
    """Make the cache `path`; it appears whole or not at all.

    Args:
        is_there: asked once this process may build, since another may have done it meanwhile.
        reading: keys of `make_loader`.

    Raises:
        UserError: see `cached`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with in_turn(path.parent, "packing recordings"):
            if not is_there():
                partial = path.with_name(f".{path.name}.partial")
                _fill(dataset, partial, stamp, reading)
                _put_in_place(partial, path)
    except OSError as error:
        raise UserError(
            f"{path}: could not be written ({error.strerror or error}). Give it room or set "
            "loader.cache to another folder; what is done is kept, and the next run goes on there."
        ) from error


def _fill(dataset, partial: Path, stamp: str, reading: dict[str, Any]) -> None:
    """Decode what is not in `partial` yet."""
    lengths, checksums, left_out, n_batches = _done_before(partial, stamp)
    _check_room(dataset, partial, n_done=sum(lengths))
    batches = Batches(dataset.durations_s, BATCH, shuffle=False)
    batches.set_position(0, n_batches)
    loader = make_loader(dataset, batches, **reading)
    bar = tqdm(total=len(dataset), initial=len(lengths), desc="packing", unit="utt", disable=None)
    with bar, (partial / "samples.pcm").open("r+b") as samples, _journal(partial).open("a") as done:
        samples.truncate(sum(lengths) * SAMPLE.itemsize)
        samples.seek(0, os.SEEK_END)
        lines: list[str] = []
        for number, batch in enumerate(loader, n_batches):
            rows = range(number * BATCH, min((number + 1) * BATCH, len(dataset)))
            found = _append(batch, [str(dataset.ids[row]) for row in rows], samples)
            reasons = {n: r for n, r in loader.unreadable.reasons.items() if n in found}
            sizes, sums = zip(*found.values(), strict=True)
            lines.append(json.dumps([sizes, sums, reasons]))
            lengths += sizes
            checksums += sums
            left_out |= reasons
            bar.update(len(found))
            if len(lines) == KEPT_EVERY:
                _keep(samples, done, lines)
        _keep(samples, done, lines)
    about = {"format": FORMAT, "stamp": stamp, "sample_rate": dataset.sample_rate}
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    write_arrays(
        partial / INDEX,
        about | {"unreadable": left_out},
        {"offsets": offsets, "checksums": np.array(checksums, np.uint32)},
    )


def _append(batch: Batch, ids: list[str], samples: IO[bytes]) -> dict[str, tuple[int, int]]:
    """Write the waveforms of a batch; samples and CRC-32 of each utterance asked for, 0 where
    unreadable."""
    found = dict.fromkeys(ids, (0, 0))
    for name, waveform, length in zip(
        batch.ids, batch.waveforms, batch.waveform_lengths, strict=True
    ):
        written = waveform[:length].numpy().astype(SAMPLE, copy=False)
        samples.write(written)
        found[name] = (len(written), zlib.crc32(written))
    return found


def _keep(samples: IO[bytes], done: IO[str], lines: list[str]) -> None:
    """Put on disk what is written, then the word that it is."""
    samples.flush()
    os.fsync(samples.fileno())
    done.write("".join(f"{line}\n" for line in lines))
    done.flush()
    os.fsync(done.fileno())
    lines.clear()


def _journal(partial: Path) -> Path:
    """A line a batch: samples and checksum of each utterance, and reasons of those left out."""
    return partial / "done.jsonl"


def _done_before(partial: Path, stamp: str) -> tuple[list[int], list[int], dict[str, str], int]:
    """Lengths, checksums and reasons that an earlier run has noted, and its number of batches.

    What is not of this stamp is emptied.
    """
    lengths: list[int] = []
    checksums: list[int] = []
    left_out: dict[str, str] = {}
    n_batches = 0
    stamp_file = partial / "stamp"
    if not stamp_file.is_file() or stamp_file.read_bytes() != stamp.encode():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        (partial / "samples.pcm").touch()
        _journal(partial).touch()
        stamp_file.write_text(stamp)
    n_bytes = 0
    for line in _journal(partial).read_bytes().splitlines(keepends=True):
        noted = _noted(line)
        if noted is None:
            break
        sizes, sums, reasons = noted
        lengths += sizes
        checksums += sums
        left_out |= reasons
        n_batches += 1
        n_bytes += len(line)
    os.truncate(_journal(partial), n_bytes)
    if n_batches:
        logger.info("%s: going on after %s.", partial, counted(len(lengths), "utterance"))
    return lengths, checksums, left_out, n_batches


def _noted(line: bytes) -> tuple[list[int], list[int], dict[str, str]] | None:
    """What a line of the journal says; None where the run was killed or the power cut in it."""
    try:
        sizes, sums, reasons = json.loads(line)
    except (ValueError, TypeError):
        return None
    return (sizes, sums, reasons) if line.endswith(b"\n") else None


def _check_room(dataset, partial: Path, n_done: int) -> None:
    seconds = float(dataset.durations_s.sum(dtype=np.float64))
    wanted = (int(seconds * dataset.sample_rate) - n_done) * SAMPLE.itemsize
    free = shutil.disk_usage(partial).free
    facts = f"{wanted / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free"
    if wanted > free:
        raise UserError(
            f"{partial.parent}: packing {seconds / 3600:,.1f} h of recordings takes {facts}. Make "
            "room, set loader.cache to a folder on another disk, or to null."
        )
    logger.info(
        "%s: packing %s (%s h) once; this takes %s.",
        *(partial.parent, counted(len(dataset), "utterance"), f"{seconds / 3600:,.1f}", facts),
    )


def _put_in_place(partial: Path, path: Path) -> None:
    for name in ("stamp", _journal(partial).name):
        (partial / name).unlink()
    outdated = path.with_name(f".{path.name}.outdated")
    shutil.rmtree(outdated, ignore_errors=True)
    if path.exists():
        path.replace(outdated)
    partial.replace(path)
    sync_folder(path.parent)
    shutil.rmtree(outdated, ignore_errors=True)
