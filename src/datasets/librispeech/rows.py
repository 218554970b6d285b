"""The utterances of several parts as one table, and which of them a speaker's side has."""

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from src.datasets.librispeech.index import PartIndex
from src.datasets.rejections import Rejections
from src.utils.errors import UserError
from src.utils.packed import PickedStrings, place


class Rows:
    """The tables of several parts, end to end; a row's number counts over all of them.

    Args:
        folders: where each part lies.
        parts: the table of each.
    """

    def __init__(self, folders: Sequence[Path], parts: Sequence[PartIndex]) -> None:
        self.parts = list(parts)
        self._folders = [str(folder) for folder in folders]
        self._starts = [0, *accumulate(map(len, self.parts))]

    def ids(self, rows: np.ndarray) -> PickedStrings:
        """The names of `rows`, without a copy."""
        return PickedStrings([part.ids for part in self.parts], rows)

    def transcripts(self, rows: np.ndarray) -> PickedStrings:
        """The transcripts of `rows`, without a copy."""
        return PickedStrings([part.transcripts for part in self.parts], rows)

    @property
    def durations_s(self) -> np.ndarray:
        """Of all rows, float32, NaN where unknown."""
        return self._column("durations_s")

    def utterance(self, row: int) -> tuple[str, str, str, str]:
        """id, path, transcript and speaker of a row."""
        number, row = place(self._starts, row)
        part = self.parts[number]
        path = f"{self._folders[number]}/{part.paths[row]}"
        speaker = part.speakers[int(part.speaker_codes[row])]
        return part.ids[row], path, part.transcripts[row], speaker

    def usable(self, side: "Side") -> tuple[np.ndarray, list[str]]:
        """Readable rows of a side, each id once.

        Returns:
            (n,) int64 rows, and the ids that stand in an earlier part already.
        """
        chosen = [side.holds(part)[part.speaker_codes] for part in self.parts]
        rows = np.flatnonzero(np.concatenate(chosen) & np.isfinite(self.durations_s))
        if len(self.parts) == 1:
            return rows, []  # within a part each id is unique
        suspects = rows[_occurring_twice(self._column("id_hashes")[rows])]
        seen: set[str] = set()
        again, names = [], []
        for row, name in zip(suspects, self.ids(suspects), strict=True):
            if name in seen:
                again.append(row)
                names.append(name)
            seen.add(name)
        return rows[~np.isin(rows, again)], names

    def _column(self, name: str) -> np.ndarray:
        columns = [part.arrays[name] for part in self.parts]
        return columns[0] if len(columns) == 1 else np.concatenate(columns)


class Side:
    """All speakers, or those who are trained on, or those who are held out.

    Args:
        choice: "all", "train" or "validation".
        validation_share: 0 … 1, about which share of the speakers is held out.
    """

    def __init__(self, choice: str, validation_share: float) -> None:
        self.choice = choice
        self.validation_share = validation_share

    def has(self, speaker: str) -> bool:
        """Whether a speaker stands on this side."""
        if self.choice == "all":
            return True
        held_out = is_validation_speaker(speaker, self.validation_share)
        return held_out == (self.choice == "validation")

    def holds(self, part: PartIndex) -> np.ndarray:
        """(n_speakers,) bool, for each of a part's speakers."""
        return np.array([self.has(speaker) for speaker in part.speakers], bool)

    def check_someone_speaks(self, parts: Sequence[PartIndex]) -> None:
        """Refuse a share of the speakers that leaves nobody on this side."""
        speakers = {speaker for part in parts for speaker in part.speakers}
        if speakers and not any(map(self.has, speakers)):
            raise UserError(
                f"validation_share={self.validation_share}: of these {len(speakers)} "
                f"speakers none falls to {self.choice}. "
                f"{'Raise' if self.choice == 'validation' else 'Lower'} dataset.validation_share."
            )

    def rejections(self, of_parts: Sequence[Rejections]) -> Rejections:
        """What the speakers of this side have lost."""
        lost = Rejections()
        for part in of_parts:
            for reason, names in part.ids_by_reason.items():
                for name in filter(self._has_name, names):
                    lost.add(reason, name, part.explanations.get(reason, {}).get(name, ""))
        return lost

    def _has_name(self, name: str) -> bool:
        """`name` is an id, 103-1240-0000, or a path below the part, 103/1240/…"""
        return self.has(name.replace("/", "-").split("-", 1)[0])


def is_validation_speaker(speaker: str, share: float) -> bool:
    """Whether a speaker is held out: by a hash of the name alone.

    So nobody changes sides when parts, files or speakers come or go, on any machine.
    """
    digest = hashlib.sha256(speaker.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _occurring_twice(hashes: np.ndarray) -> np.ndarray:
    """(n,) bool, where a value isn't the only one of its kind."""
    ordered = np.sort(hashes)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.isin(hashes, repeated) if len(repeated) else np.zeros(len(hashes), bool)
