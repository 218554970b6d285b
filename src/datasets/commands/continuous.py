"""Runs of spoken words: clips of Speech Commands one after another, new ones each epoch.

A model that has only heard single words learns here where one ends and the next begins.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.batch import FULL_SCALE, Utterance, to_float
from src.datasets.commands.corpus import SpeechCommands
from src.datasets.commands.folder import SPLITS
from src.datasets.loading.batches import Batches
from src.datasets.selection import SORTS
from src.transforms.waveform.noise import stored_noise
from src.transforms.waveform.recordings import read_folder
from src.utils.errors import UserError

FADE_S = 0.005  # at both ends of a clip: a click would tell where the words meet
MOST_NOISE_HOURS = 1.0  # kept in memory, 115 MB


class Runs(NamedTuple):
    """What the n runs of an epoch are made of."""

    clips: np.ndarray  # (n_words,) int64, clips of all runs, one run after another
    gaps: np.ndarray  # (n_words,) int64, samples without speech before each clip
    offsets: np.ndarray  # (n + 1,) int64, the words of run i are offsets[i] … offsets[i + 1]
    endings: np.ndarray  # (n,) int64, samples without speech at the end
    samples: np.ndarray  # (n,) int64, of the whole run
    snr_db: np.ndarray  # (n,)
    gain_db: np.ndarray  # (n,)
    noises: np.ndarray  # (n, 2) in [0, 1): which noise, and where in it


class ContinuousCommands(SpeechCommands):
    """Random runs of the clips of one split, without overlap, in noise.

    Clips come in a random order, each once before any comes twice; the number of words, the gaps,
    noise and gain are drawn for each run. All follows from the seed, the epoch and a run's number:
    row `epoch * len(self) + number` is a run of that epoch, and rows below `len(self)` are those of
    epoch 0, which validation and inference read. The transcript is the words, "yes no left".

    Args:
        path: file written by `python -m scripts.prepare_speech_commands`.
        split: "train", "validation" or "test", by the official lists, which share no speaker.
        text: text object of the vocabulary; None leaves targets empty.
        n_utterances: runs of an epoch; None = so many that each clip comes about once.
        min_words, max_words: words of a run.
        min_gap_s, max_gap_s: seconds before, between and after the clips. The clips have silence
            of their own: about a quarter of a second at both ends.
        noise_dir: recordings of noise, such as the corpus's _background_noise_; None = white,
            pink and brown noise.
        min_snr_db, max_snr_db: power of the clips over that of the noise; None = no noise.
        min_gain_db, max_gain_db: of the whole run, clipped at full scale.
        seed: decides with the epoch and the split.
        sample_rate: Hz; a file of another rate is refused.
        limit: keep the first `limit` runs of an epoch.
        sort: see `select`; of the runs of each epoch.

    Raises:
        UserError: an argument makes no sense, or see `SpeechCommands`.
    """

    def __init__(
        self,
        path: str | Path,
        split: str,
        text,
        *,
        n_utterances: int | None = None,
        min_words: int = 2,
        max_words: int = 6,
        min_gap_s: float = 0.0,
        max_gap_s: float = 0.3,
        noise_dir: str | None = None,
        min_snr_db: float | None = 10.0,
        max_snr_db: float | None = 40.0,
        min_gain_db: float = -10.0,
        max_gain_db: float = 3.0,
        seed: int = 1,
        sample_rate: int = 16000,
        limit: int | None = None,
        sort: str | None = None,
    ) -> None:
        for name, value in (("n_utterances", n_utterances), ("limit", limit)):
            if value is not None and value < 1:
                raise UserError(f"{name}={value}; expected null or a number from 1 up.")
        if sort not in SORTS:
            raise UserError(f"sort={sort}: expected null, duration or duration_desc.")
        _check_range("words", min_words, max_words, 1)
        _check_range("gap_s", min_gap_s, max_gap_s, 0)
        _check_range("gain_db", min_gain_db, max_gain_db, -100)
        if (min_snr_db is None) != (max_snr_db is None):
            raise UserError("min_snr_db and max_snr_db: give both, or null for both: no noise.")
        if min_snr_db is not None:
            _check_range("snr_db", min_snr_db, max_snr_db, -100)
        super().__init__(path, split, text, sample_rate=sample_rate)
        self._text = text
        self._words = min_words, max_words
        self._gaps_s = min_gap_s, max_gap_s
        self._snr_db = None if min_snr_db is None else (min_snr_db, max_snr_db)
        self._gain_db = min_gain_db, max_gain_db
        self._seed = [seed % 2**63, SPLITS.index(split)]
        self._sort = sort
        mean_words = (min_words + max_words) / 2
        self._n_drawn = n_utterances or max(1, round(len(self._clips.rows) / mean_words))
        self._n = min(self._n_drawn, limit or self._n_drawn)
        self._noises = [] if self._snr_db is None else _noises(noise_dir, sample_rate)
        self._drawn: dict[int, Runs] = {}

    def __len__(self) -> int:
        """Runs of an epoch."""
        return self._n

    @property
    def durations_s(self) -> np.ndarray:
        """(n,) float32 seconds of the runs of epoch 0."""
        return self.durations_of(0)

    @property
    def ids(self) -> "RunNames":
        """`run-EPOCH-NUMBER`."""
        return RunNames(len(self))

    def durations_of(self, epoch: int) -> np.ndarray:
        """(n,) float32 seconds of the runs of an epoch."""
        return (self.runs(epoch).samples / self.sample_rate).astype(np.float32)

    def batches(self, **keys: Any) -> "EpochBatches":
        """The order in which to read runs that are new each epoch; keys as of `Batches`."""
        return EpochBatches(self.durations_of, **keys)

    def runs(self, epoch: int) -> Runs:
        """What the runs of an epoch are made of; no audio is touched."""
        if epoch not in self._drawn:
            # The one before may still be read while the next begins.
            self._drawn = {e: runs for e, runs in self._drawn.items() if e == epoch - 1}
            self._drawn[epoch] = self._draw(np.random.default_rng([*self._seed, epoch]))
        return self._drawn[epoch]

    def _draw(self, rng: np.random.Generator) -> Runs:
        n, n_clips = self._n_drawn, len(self._clips.rows)
        counts = rng.integers(self._words[0], self._words[1] + 1, n)
        total = int(counts.sum())
        passes = [rng.permutation(n_clips) for _ in range(-(-total // n_clips))]
        clips = np.concatenate(passes)[:total]
        gaps, endings = (
            np.round(rng.uniform(*self._gaps_s, size) * self.sample_rate).astype(np.int64)
            for size in (total, n)
        )
        offsets = np.concatenate([[0], np.cumsum(counts)])
        spoken = np.add.reduceat(gaps + self._clips.lengths[clips], offsets[:-1])
        snr_db = rng.uniform(*(self._snr_db or (0, 0)), n)
        gain_db = rng.uniform(*self._gain_db, n)
        runs = Runs(
            clips, gaps, offsets, endings, spoken + endings, snr_db, gain_db, rng.random((n, 2))
        )
        return _picked(runs, self._order(runs.samples[: self._n]))

    def _order(self, samples: np.ndarray) -> np.ndarray:
        if self._sort is None:
            return np.arange(len(samples))
        return np.argsort(samples if self._sort == "duration" else -samples, kind="stable")

    def __getitem__(self, index: int) -> Utterance:
        """Row `epoch * len(self) + number`; raises UserError where a stored clip is damaged."""
        epoch, number = divmod(index, len(self))
        runs = self.runs(epoch)
        span = slice(*runs.offsets[number : number + 2])
        waveform = self._joined(runs.clips[span], runs.gaps[span], int(runs.samples[number]))
        if self._noises and waveform.any():
            noise = self._noise(runs.noises[number], len(waveform))
            power = np.mean(waveform**2) * len(waveform)
            power /= self._clips.lengths[runs.clips[span]].sum()  # of the clips, without the gaps
            wanted = power / 10 ** (runs.snr_db[number] / 10)
            waveform += noise * np.sqrt(wanted / max(float(np.mean(noise**2)), 1e-20))
        waveform *= 10 ** (runs.gain_db[number] / 20)
        transcript, target, tokens = " ".join(self._clips.words[runs.clips[span]]), "", ()
        if self._text is not None:
            target = self._text.target(transcript)
            tokens = self._text.vocabulary.encode(target)
        limits = -FULL_SCALE, FULL_SCALE - 1
        samples = np.clip(np.round(waveform * FULL_SCALE), *limits).astype(np.int16)
        return Utterance(self.ids[index], samples, transcript, target, tokens)

    def _joined(self, clips: np.ndarray, gaps: np.ndarray, n_samples: int) -> np.ndarray:
        """(n_samples,) float32: each clip after its gap."""
        waveform = np.zeros(n_samples, np.float32)
        begin = 0
        for clip, gap in zip(clips.tolist(), gaps.tolist(), strict=True):
            row, length = int(self._clips.rows[clip]), int(self._clips.lengths[clip])
            begin += gap
            waveform[begin : begin + length] = faded(
                to_float(self._waveform(row, length)), round(FADE_S * self.sample_rate)
            )
            begin += length
        return waveform

    def _noise(self, draws: np.ndarray, n_samples: int) -> np.ndarray:
        """(n_samples,) float32 of one of the noises, from a random place on, round and round."""
        noise = self._noises[int(draws[0] * len(self._noises))]
        places = (int(draws[1] * len(noise)) + np.arange(n_samples)) % len(noise)
        return to_float(noise[places])


class RunNames(Sequence[str]):
    """`run-EPOCH-NUMBER` of each row; there is no end of epochs, but those of epoch 0 count."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> str:
        epoch, number = divmod(int(index), self._n)
        return f"run-{epoch}-{number:06d}"

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(self._n))


class EpochBatches(Batches):
    """`Batches` of utterances that are others each epoch: row `epoch * n + number`.

    Args:
        durations_of: epoch → (n,) seconds of its utterances, the same n for each.
        keys: see `Batches`.
    """

    def __init__(self, durations_of: Callable[[int], np.ndarray], **keys: Any) -> None:
        self._durations_of = durations_of
        super().__init__(durations_of(0), **keys)

    def set_position(self, epoch: int, start_batch: int = 0) -> None:
        """Make the next iteration begin at batch `start_batch` of `epoch`; reads no audio."""
        self.durations_s = self._durations_of(epoch)
        super().set_position(epoch, start_batch)

    def __iter__(self) -> Iterator[list[int]]:
        first = self.epoch * len(self.durations_s)
        return ([first + row for row in rows] for rows in super().__iter__())


def faded(clip: np.ndarray, n_samples: int) -> np.ndarray:
    """(N,) float32 that rises from 0 and falls to 0 within `n_samples`, or half of a short clip."""
    n_samples = min(n_samples, len(clip) // 2)
    ramp = np.arange(n_samples, dtype=np.float32) / max(1, n_samples)
    clip = clip.copy()
    clip[:n_samples] *= ramp
    clip[len(clip) - n_samples :] *= ramp[::-1]
    return clip


def _noises(noise_dir: str | None, sample_rate: int) -> list[np.ndarray]:
    if noise_dir is None:
        return list(stored_noise().numpy())
    recordings = (noise.numpy() for noise in read_folder(noise_dir, sample_rate, MOST_NOISE_HOURS))
    return [noise for noise in recordings if noise.any()]


def _picked(runs: Runs, order: np.ndarray) -> Runs:
    """Some of the runs, in an order of choice."""
    counts = np.diff(runs.offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    words = np.repeat(runs.offsets[order] - offsets[:-1], counts) + np.arange(offsets[-1])
    rest = (runs.endings, runs.samples, runs.snr_db, runs.gain_db, runs.noises)
    return Runs(runs.clips[words], runs.gaps[words], offsets, *(column[order] for column in rest))


def _check_range(name: str, low: float, high: float, least: float) -> None:
    if not least <= low <= high:
        raise UserError(
            f"min_{name}={low:g}, max_{name}={high:g}; expected two numbers from {least:g} up, "
            "the smaller one first."
        )
