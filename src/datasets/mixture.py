"""Several corpora as one, each with the share of the training that it shall have."""

import dataclasses
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from src.batch import Utterance
from src.datasets.corpora.folder import Folder
from src.datasets.files import safe_name
from src.datasets.selection import check_limits
from src.utils.errors import UserError
from src.utils.packed import PackedStrings
from src.utils.tables import counted, percent

logger = logging.getLogger(__name__)

MOST = 100_000_000  # utterances of an epoch: 2,000 years of reading, so a slip of weights


class Mixture(Dataset[Utterance]):
    """Utterances of several lists or folders (see `Folder`), some of them several times.

    One epoch holds every utterance at least once; those of corpora that weigh more than they
    are large come again, each as often as the others or once more, until the shares are right
    to one utterance. Which come once more, the seed decides. So an epoch is a fixed set, and a
    run that resumes goes on exactly where it was.

    Ids are LIST+ID, and LIST+ID+2 for the second time.

    Args:
        roots: lists written by scripts.prepare_data, or folders; their names must differ.
        split: "train", "validation" or "test"; each corpus must have it.
        text: text object of the vocabulary; None leaves targets empty.
        weights: share of the utterances of an epoch that each corpus gives, in any unit; None
            takes each utterance once.
        seed: decides which utterances come once more.
        validation_share, test_share, index_dir, sample_rate, resample, min_duration_s,
            max_duration_s, max_characters_per_s, max_text_length: see `ListedCorpus`.
        limit, sort: see `select`; of all together.

    Raises:
        UserError: an argument makes no sense, or a corpus can't be used.
    """

    def __init__(
        self,
        roots: Sequence[str],
        split: str,
        text,
        *,
        weights: Sequence[float] | None = None,
        seed: int = 0,
        validation_share: float = 0.05,
        test_share: float = 0.05,
        index_dir: str | Path | None = None,
        sample_rate: int = 16000,
        resample: bool = True,
        min_duration_s: float = 0.0,
        max_duration_s: float | None = None,
        max_characters_per_s: float | None = None,
        max_text_length: int | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> None:
        names = _check(roots, weights)
        limits = (min_duration_s, max_duration_s, max_text_length, limit, sort)
        check_limits(f"mixture {split}", *limits)
        self.sample_rate = sample_rate
        self._corpora = [
            Folder(
                root,
                split,
                text,
                validation_share=validation_share,
                test_share=test_share,
                index_dir=index_dir,
                sample_rate=sample_rate,
                resample=resample,
                min_duration_s=min_duration_s,
                max_duration_s=max_duration_s,
                max_characters_per_s=max_characters_per_s,
                max_text_length=max_text_length,
            )
            for root in roots
        ]
        self.unreadable = {
            f"{name}+{told}": reason
            for name, corpus in zip(names, self._corpora, strict=True)
            for told, reason in corpus.unreadable.items()
        }
        sizes = [len(corpus) for corpus in self._corpora]
        counts = sizes if weights is None else _checked(counts_of(sizes, weights), sizes, weights)
        self._fill(names, [_repeated(*pair, seed) for pair in zip(sizes, counts, strict=True)])
        self._take(slice(limit))
        if sort is not None:
            seconds = self.durations_s if sort == "duration" else -self.durations_s
            self._take(np.argsort(seconds, kind="stable"))
        self._tell(f"mixture {split}", names)

    def _fill(self, names: list[str], rows: list[np.ndarray]) -> None:
        """Lay the corpora end to end; `rows` are those of each, some of them several times."""
        self._numbers = np.repeat(np.arange(len(rows), dtype=np.int32), list(map(len, rows)))
        self._rows = np.concatenate(rows)
        pairs = zip(self._corpora, rows, strict=True)
        self.durations_s = np.concatenate([corpus.durations_s[own] for corpus, own in pairs])
        times = np.concatenate([_times(own) for own in rows])
        self.ids = PackedStrings.of(
            f"{names[number]}+{self._corpora[number].ids[row]}" + (f"+{time}" if time > 1 else "")
            for number, row, time in zip(self._numbers, self._rows, times, strict=True)
        )

    def _take(self, which: slice | np.ndarray) -> None:
        self._numbers, self._rows = self._numbers[which], self._rows[which]
        self.durations_s = self.durations_s[which]
        numbers = np.arange(len(self.ids))[which]
        self.ids = PackedStrings.of(self.ids[number] for number in numbers)

    def _tell(self, corpus: str, names: list[str]) -> None:
        parts = []
        for number, name in enumerate(names):
            own = self._numbers == number
            share, hours = own.mean(), self.durations_s[own].sum(dtype=np.float64) / 3600
            size = len(self._corpora[number])
            parts.append(
                f"{name} {percent(share)} ({own.sum():,} of {counted(size, 'row')}, {hours:.1f} h)"
            )
        logger.info(
            "%s: an epoch of %s: %s", corpus, counted(len(self), "utterance"), ", ".join(parts)
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Utterance:
        """Raises UserError as the corpus's own does."""
        corpus, row = self.place(index)
        return dataclasses.replace(corpus[row], id=self.ids[index])

    def describe(self, index: int) -> Utterance:
        """The utterance with a waveform of 0 samples; no audio is touched."""
        corpus, row = self.place(index)
        return dataclasses.replace(corpus.describe(row), id=self.ids[index])

    def source(self, index: int) -> Path:
        """The file that holds the sound."""
        corpus, row = self.place(index)
        return corpus.source(row)

    def place(self, index: int) -> tuple[Folder, int]:
        """The corpus that the utterance comes from, and its row there."""
        return self._corpora[self._numbers[index]], int(self._rows[index])


def counts_of(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """How many utterances each corpus gives to the shortest epoch that misses none.

    Args:
        sizes: utterances of each corpus.
        weights: above 0, in any unit.

    Returns:
        Counts of at least the sizes, within 1 of weight / sum of weights × their sum.
    """
    shares = [weight / math.fsum(weights) for weight in weights]
    total = max(math.ceil(size / share) for size, share in zip(sizes, shares, strict=True))
    quotas = [share * total for share in shares]
    # Never below the size, which rounding errors of a quota could fall short of.
    counts = [max(math.floor(quota), size) for quota, size in zip(quotas, sizes, strict=True)]
    # Largest remainders: what is left of the total goes to those who lost most by rounding.
    by_loss = sorted(range(len(counts)), key=lambda i: counts[i] - quotas[i])
    for i in by_loss[: max(0, total - sum(counts))]:
        counts[i] += 1
    return counts


def _checked(counts: list[int], sizes: list[int], weights: Sequence[float]) -> list[int]:
    """The counts, unless no memory could hold their epoch."""
    if sum(counts) > MOST:
        raise UserError(
            f"weights={weights}: an epoch that misses none of {sum(sizes):,} utterances would have "
            f"{sum(counts):,}; expected weights nearer to the sizes {sizes}."
        )
    return counts


def _repeated(size: int, count: int, seed: int) -> np.ndarray:
    """(count,) int64, each of `size` rows as often as any other or once more."""
    rng = np.random.default_rng([seed % 2**63, size])
    once_more = np.sort(rng.choice(size, count % size, replace=False))
    return np.concatenate([np.tile(np.arange(size), count // size), once_more])


def _times(rows: np.ndarray) -> np.ndarray:
    """(n,) int64, for each row how often it has come by then, from 1 up."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    first = np.searchsorted(ordered, ordered)
    times = np.empty(len(rows), np.int64)
    times[order] = np.arange(len(rows)) - first + 1
    return times


def _check(roots: Sequence[str], weights: Sequence[float] | None) -> list[str]:
    """The names of the corpora."""
    if not isinstance(roots, Sequence) or isinstance(roots, str) or not roots:
        raise UserError(f"roots={roots}: expected a list, such as [data/a.jsonl,data/b.jsonl].")
    names = [safe_name(Path(root).stem) for root in roots]
    if len({name.casefold() for name in names}) < len(names):
        raise UserError(f"roots: {', '.join(roots)} have the same name twice; rename one.")
    if weights is not None:
        good = isinstance(weights, Sequence) and len(weights) == len(roots)
        good = good and all(type(w) in (int, float) and 0 < w < math.inf for w in weights)
        if not good:
            raise UserError(
                f"weights={weights}: expected a number above 0 for each of {len(roots)} roots, or "
                "null."
            )
    return names
