"""Utterances of a corpus that comes as a list of recordings and transcripts."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from src import audio
from src.batch import NO_SOUND, Utterance
from src.datasets.corpora.held_out import HeldOut
from src.datasets.corpora.listing import ALL, SPLITS, Flaw, Row, listed
from src.datasets.durations import durations_of
from src.datasets.rejections import NO_AUDIO, Rejections
from src.datasets.selection import UNREADABLE, select
from src.utils.errors import UserError
from src.utils.packed import PackedStrings
from src.utils.tables import counted

BEYOND = "reaching beyond the end of their recording"
OTHER_LENGTH = "whose recording lasts longer or shorter than listed"
SLACK_S = 0.1  # containers round their durations, and lists theirs


class ListedCorpus(Dataset[Utterance]):
    """One split of a corpus; a subclass says in `rows` how the corpus is laid out.

    Args:
        root: the corpus's folder.
        split: one of `splits`; of a folder or list also "all".
        text: text object of the vocabulary; None leaves targets empty.
        validation_share, test_share: see `HeldOut`.
        index_dir: where measured durations are kept; None measures them at each start.
        sample_rate: wanted rate in Hz.
        resample: False refuses files of another rate.
        min_duration_s, max_duration_s, max_text_length, limit, sort: see `select`.
        max_characters_per_s: an utterance with more of its transcript in a second is left out:
            nobody speaks faster than about 25, so the transcript belongs to something else, and
            it may have no CTC alignment. None is no limit.

    Attributes:
        unreadable: id → reason of each utterance that is left out because its audio's header
            can't be read.
        starts_s: (n,) float64, where each begins in its file; NaN is the whole file.

    Raises:
        UserError: no such corpus or split, or no utterance can be used.
    """

    corpus = ""  # its name, for the log
    splits = SPLITS

    def __init__(
        self,
        root: str | Path,
        split: str,
        text,
        *,
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
        if split not in self.splits:
            raise UserError(f"split={split}: expected one of {', '.join(self.splits)}.")
        if max_characters_per_s is not None and not max_characters_per_s > 0:  # NaN too
            raise UserError(
                f"max_characters_per_s={max_characters_per_s}; expected null or a number above 0."
            )
        self.sample_rate = sample_rate
        self._root, self._text, self.resample = Path(root), text, resample
        rows, lost = self._of_split(split, validation_share, test_share)
        rows, durations_s, lost = measured(self._folder, rows, index_dir, lost)
        self.unreadable = dict(lost.explanations.get(UNREADABLE, {}))
        rows, durations_s = self.fitting(rows, durations_s, lost)
        rows, durations_s = _without_hurried(
            rows, durations_s, max_characters_per_s, min_duration_s, lost
        )
        kept = select(
            *(f"{self.corpus} {split}", [row.id for row in rows], durations_s),
            *([row.text for row in rows], text),
            min_duration_s=min_duration_s,
            max_duration_s=max_duration_s,
            max_text_length=max_text_length,
            limit=limit,
            sort=sort,
            already_rejected=lost,
        )
        self._pack([rows[row] for row in kept], durations_s[kept])

    def rows(self, root: Path, split: str) -> Iterable[Row | Flaw]:
        """All rows of the corpus, or at least all of `split`, and what is wrong with others."""
        raise NotImplementedError

    def fitting(
        self, rows: list[Row], durations_s: np.ndarray, lost: Rejections
    ) -> tuple[list[Row], np.ndarray]:
        """The rows that can belong to recordings of these lengths; `lost` gets the others."""
        return rows, durations_s

    @property
    def _folder(self) -> Path:
        """The folder that paths begin at."""
        return self._root.parent if self._root.is_file() else self._root

    def _of_split(
        self, split: str, validation_share: float, test_share: float
    ) -> tuple[list[Row], Rejections]:
        listing = listed(self.rows(self._root, split))
        sides = HeldOut(listing.rows, validation_share, test_share)

        def is_asked_for(row: Row | Flaw) -> bool:
            return split in (ALL, sides.split_of(row))

        rows = list(filter(is_asked_for, listing.rows))
        if listing.rows and not rows:
            raise UserError(
                f"{self._root}: none of its {counted(len(listing.rows), 'utterance')} falls to "
                f"{split}; choose another dataset.validation_share or dataset.test_share."
            )
        lost = Rejections()
        for flaw in listing.flaws:
            if is_asked_for(flaw):
                lost.add(flaw.reason, flaw.id, flaw.explanation)
        return rows, lost

    def _pack(self, rows: Sequence[Row], durations_s: np.ndarray) -> None:
        """Arrays instead of objects: forked workers share them unharmed."""
        self.durations_s = durations_s  # (n,) float32
        self.ids = PackedStrings.of(row.id for row in rows)
        self.transcripts = PackedStrings.of(row.text for row in rows)
        self._paths = PackedStrings.of(row.path for row in rows)
        self._speakers = PackedStrings.of(row.speaker for row in rows)
        starts = [np.nan if row.start_s is None else row.start_s for row in rows]
        self.starts_s = np.array(starts, np.float64)
        self._listed = np.array([row.duration_s is not None for row in rows], bool)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Utterance:
        """Raises UserError where the audio is damaged, too short for its part, or of a rate that
        may not be resampled."""
        start_s, wanted_s = float(self.starts_s[index]), float(self.durations_s[index])
        part = {} if np.isnan(start_s) else {"start_s": start_s, "duration_s": wanted_s}
        path = self.source(index)
        waveform = audio.read(path, self.sample_rate, resample=self.resample, **part)
        self._check_duration(index, len(waveform) / self.sample_rate)
        return dataclasses.replace(self.describe(index), waveform=waveform)

    def _check_duration(self, index: int, found_s: float) -> None:
        """Refuse a recording that isn't what the list says: then the words aren't its words."""
        start_s, wanted_s = self.starts_s[index], self.durations_s[index]
        is_part = not np.isnan(start_s)
        if is_part and found_s < wanted_s - SLACK_S:
            raise UserError(
                f"{self.source(index)}: {wanted_s:.2f} s from {start_s:.2f} s on should be "
                f"{self.ids[index]}, but the recording ends after {found_s:.2f} s of them. "
                "Correct the list."
            )
        if not is_part and self._listed[index] and _is_other(found_s, wanted_s):
            raise UserError(
                f"{self.source(index)}: lasts {found_s:.2f} s, but its list says {wanted_s:.2f} s. "
                "Correct the list, or give it a start where a part of the recording is meant."
            )

    def describe(self, index: int) -> Utterance:
        """The utterance with a waveform of 0 samples; no audio is touched."""
        transcript, target, tokens = self.transcripts[index], "", ()
        if self._text is not None:
            target = self._text.target(transcript)
            tokens = self._text.vocabulary.encode(target)
        speaker = self._speakers[index]
        return Utterance(self.ids[index], NO_SOUND, transcript, target, tokens, speaker)

    def source(self, index: int) -> Path:
        """The file that holds the sound."""
        return self._folder / self._paths[index]


def measured(
    root: Path,
    rows: Sequence[Row],
    index_dir: str | Path | None,
    lost: Rejections,
    *,
    trusting: bool = True,
) -> tuple[list[Row], np.ndarray, Rejections]:
    """The rows with readable audio and their seconds, (n,) float32; `lost` gets the others.

    Args:
        trusting: take durations that the list tells; otherwise all files are measured, and those
            that are not what the list tells are lost.
    """
    durations_s = np.array([row.duration_s or np.nan for row in rows], np.float32)
    unknown = np.flatnonzero(np.isnan(durations_s)) if trusting else np.arange(len(rows))
    found_s, reasons = durations_of(root, [rows[i].path for i in unknown], index_dir)
    for i, seconds in zip(unknown.tolist(), found_s.tolist(), strict=True):
        durations_s[i] = _part_s(rows[i], seconds)
    for place, reason in reasons.items():
        row = rows[unknown[place]]
        there = os.path.exists(root / row.path)  # Path's raises where it is too long  # noqa: PTH110
        lost.add(UNREADABLE if there else NO_AUDIO, row.id, reason)
    failed = {int(unknown[place]) for place in reasons}
    kept = []
    for i, row in enumerate(rows):
        if i in failed:
            continue
        if not durations_s[i] > 0:
            lost.add(BEYOND, row.id)
        elif row.start_s is None and row.duration_s and _is_other(durations_s[i], row.duration_s):
            told = f"{durations_s[i]:.2f} s instead of {row.duration_s:.2f} s"
            lost.add(OTHER_LENGTH, row.id, told)
        else:
            kept.append(i)
    return [rows[i] for i in kept], durations_s[kept], lost


def _is_other(found_s: float, listed_s: float) -> bool:
    """Is a whole recording so much longer or shorter that the words can't be its words?"""
    return abs(found_s - listed_s) > max(5 * SLACK_S, 0.1 * listed_s)


def _part_s(row: Row, file_s: float) -> float:
    """Seconds of the row's part of a recording of `file_s` seconds; −1 where it isn't within."""
    if row.start_s is None:
        return file_s
    left_s = file_s - row.start_s
    wanted_s = left_s if row.duration_s is None else row.duration_s
    return wanted_s if 0 < wanted_s <= left_s + SLACK_S else -1.0


def _without_hurried(
    rows: list[Row],
    durations_s: np.ndarray,
    most: float | None,
    min_duration_s: float,
    lost: Rejections,
) -> tuple[list[Row], np.ndarray]:
    """Leave out what no one could say in its time; of shorter ones `select` tells."""
    if most is None:
        return rows, durations_s
    hurried = np.array([len(row.text) for row in rows]) > most * durations_s
    hurried &= durations_s >= min_duration_s
    names = [rows[i].id for i in np.flatnonzero(hurried)]
    if names:
        lost.add_many(f"with more than {most:g} characters a second", names, len(names))
    kept = np.flatnonzero(~hurried)
    return [rows[i] for i in kept], durations_s[kept]
