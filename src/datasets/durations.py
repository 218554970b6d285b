"""How long recordings are, measured once."""

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from src import audio
from src.utils.errors import UserError
from src.utils.mapped import MappedArrays, write_arrays

logger = logging.getLogger(__name__)

GONE = 0  # the key of a file that isn't there
BLOCK = 10_000  # files measured before the next are queued


def durations_of(
    root: Path, paths: Sequence[str], index_dir: str | Path | None
) -> tuple[np.ndarray, dict[int, str]]:
    """Seconds of each file by its header, remembered in `index_dir`.

    A file is known again by its path, size and time of change, so what is replaced is measured
    anew. A damaged memory is made again.

    Args:
        root: the corpus's folder.
        paths: n files below it, or absolute.
        index_dir: where durations are kept; None measures all at each start.

    Returns:
        (n,) float32, NaN where there is no readable file; and why, by row.
    """
    if index_dir is None:
        return measure(root, paths, np.full(len(paths), np.nan, np.float32))
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
    file = Path(index_dir) / f"durations-{root.name}-{place}.index"
    keys = np.fromiter((_key(root / path) for path in paths), np.uint64, len(paths))
    known = _read(file)
    durations_s, reasons = measure(root, paths, _looked_up(known, keys))
    if not np.all(np.isin(keys[np.isfinite(durations_s)], known[0])):
        _keep(file, keys, durations_s)
    return durations_s, reasons


def measure(
    part: Path, paths: Sequence[str], durations_s: np.ndarray
) -> tuple[np.ndarray, dict[int, str]]:
    """Fill in unknown durations from the audio headers.

    Args:
        paths: n files below the part.
        durations_s: (n,) float32, NaN where unknown; left as it is.

    Returns:
        (n,) float32, still NaN where a header can't be read; and why, by row.
    """
    unknown = np.flatnonzero(np.isnan(durations_s))
    if not len(unknown):
        return durations_s, {}
    durations_s, reasons = durations_s.copy(), {}
    bar = tqdm(total=len(unknown), desc=f"{part.name}: durations", unit="file", disable=None)
    with ThreadPoolExecutor() as pool, bar:
        for start in range(0, len(unknown), BLOCK):
            block = unknown[start : start + BLOCK].tolist()
            found = pool.map(lambda row: _duration_s(part / paths[row]), block)
            for row, result in zip(block, found, strict=True):
                if isinstance(result, UserError):
                    reasons[row] = str(result)
                else:
                    durations_s[row] = result
                bar.update()
    return durations_s, reasons


def _key(path: Path) -> int:
    try:
        status = path.stat()
    except OSError:
        return GONE
    identity = f"{path}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest(), "little")


def _looked_up(known: tuple[np.ndarray, np.ndarray], keys: np.ndarray) -> np.ndarray:
    found, seconds = known
    durations_s = np.full(len(keys), np.nan, np.float32)
    if len(found):
        places = np.minimum(np.searchsorted(found, keys), len(found) - 1)
        hits = (found[places] == keys) & (keys != GONE)
        durations_s[hits] = seconds[places[hits]]
    return durations_s


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Keys in order, and the seconds of each."""
    try:
        arrays = MappedArrays(file)
        keys, seconds = arrays["keys"].copy(), arrays["durations_s"].copy()
        if keys.shape == seconds.shape:
            return keys, seconds
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError) as error:
        logger.warning("%s: is damaged (%s); measuring all recordings again.", file, error)
    return np.zeros(0, np.uint64), np.zeros(0, np.float32)


def _keep(file: Path, keys: np.ndarray, durations_s: np.ndarray) -> None:
    """Store what is known now beside what was known before."""
    earlier, seconds = _read(file)
    fresh = np.isfinite(durations_s) & (keys != GONE)
    keys, first = np.unique(np.concatenate([keys[fresh], earlier]), return_index=True)
    durations_s = np.concatenate([durations_s[fresh], seconds])[first]
    try:
        write_arrays(file, {}, {"keys": keys, "durations_s": durations_s})
    except UserError as error:
        logger.warning("Durations are not kept, each start will measure all again: %s", error)


def _duration_s(path: Path) -> float | UserError:
    try:
        return audio.duration_s(path)
    except UserError as error:
        return error
