"""Recordings with Audacity's label tracks beside them: what is heard, and when."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from src.batch import Utterance
from src.datasets.corpora.listed_corpus import ListedCorpus
from src.datasets.corpora.listing import Flaw, Row, numbered_lines
from src.datasets.files import find_recordings, safe_name, unique_ids
from src.datasets.rejections import NO_TRANSCRIPT, Rejections
from src.text.frame_labels import LABEL_S, SILENCE, length_s, written
from src.utils.errors import UserError

BAD_LABELS = "whose labels can't be read"
OUTLASTING = "whose labels end long after their recording"
SLACK_S = 1.0  # beyond it the track is in other units, or of another recording
SUFFIX = "_labels.txt"


class Labelled(ListedCorpus):
    """A folder of recordings, each with a track `<stem>_labels.txt`; see `ListedCorpus`.

    A line of a track is start and end in seconds and a phoneme, parted by tabs, as Audacity exports
    label tracks. Gaps between labels are silence. Transcripts are those of `FrameLabels`, up to the
    end of the recording.
    """

    corpus = "labelled"

    def rows(self, root: Path, split: str) -> Iterator[Row | Flaw]:
        """All rows."""
        paths = find_recordings(str(root))
        names = [path.relative_to(root).as_posix() for path in paths]
        for told, path, name in zip(unique_ids(map(safe_name, names)), paths, names, strict=True):
            track = path.with_name(path.stem + SUFFIX)
            if not track.is_file():
                yield Flaw(told, NO_TRANSCRIPT)
                continue
            try:
                yield Row(told, name, written(read_labels(track)))
            except UserError as error:
                yield Flaw(told, BAD_LABELS, str(error))

    def fitting(
        self, rows: list[Row], durations_s: np.ndarray, lost: Rejections
    ) -> tuple[list[Row], np.ndarray]:
        """Those whose labels end with the recording, or little later."""
        ends_s = np.array([length_s(row.text) for row in rows])
        outlasting = ends_s > durations_s + SLACK_S
        for i in np.flatnonzero(outlasting):
            told = f"labels until {ends_s[i]:g} s of {durations_s[i]:.2f} s of sound"
            lost.add(OUTLASTING, rows[i].id, told)
        kept = np.flatnonzero(~outlasting)
        return [rows[i] for i in kept], durations_s[kept]

    def describe(self, index: int) -> Utterance:
        """As `ListedCorpus`, with a token for each 10 ms until the end of the recording."""
        utterance = super().describe(index)
        if self._text is None:
            return utterance
        tokens = self._text.encode(utterance.transcript)
        n_labels = math.ceil(float(self.durations_s[index]) / LABEL_S)
        if (missing := n_labels - len(tokens)) > 0:
            rest = f" {SILENCE}*{missing}"
            utterance = replace(utterance, transcript=utterance.transcript + rest)
            tokens += self._text.encode(rest)
        return replace(utterance, tokens=tokens[:n_labels])


def read_labels(path: Path) -> list[tuple[float, float, str]]:
    """Start, end (seconds) and symbol of each label of a track.

    Raises:
        UserError: a line that is no label, or labels that overlap or run backwards.
    """
    labels, until = [], 0.0
    for number, line in numbered_lines(path).items():
        if line.startswith("\\"):  # the frequencies of a spectral selection
            continue
        where = f"{path}, line {number}"
        fields = line.split("\t")
        try:
            start_s, end_s, symbol = float(fields[0]), float(fields[1]), fields[2].strip()
        except (ValueError, IndexError):
            raise UserError(
                f"{where}: expected start, end and phoneme parted by tabs, as Audacity exports "
                f"labels, found {line[:60]!r}."
            ) from None
        # NaN fails every comparison. Audacity rounds to a microsecond.
        in_order = until - 1e-3 <= start_s <= end_s and end_s / LABEL_S < math.inf
        if not (in_order and symbol):
            raise UserError(
                f"{where}: {symbol or 'a label without a name'} from {start_s:g} to {end_s:g} s, "
                f"but the one before ends at {until:g} s; labels must follow each other."
            )
        labels.append((start_s, end_s, symbol))
        until = end_s
    return labels
