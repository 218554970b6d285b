"""LibriSpeech in its official layout, read file by file."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from src import audio
from src.batch import NO_SOUND, Utterance
from src.datasets.librispeech.download import download_missing
from src.datasets.librispeech.index import load_index
from src.datasets.librispeech.parts import OFFICIAL_URL, find_parts
from src.datasets.librispeech.rows import Rows, Side
from src.datasets.rejections import LISTED_TWICE, Rejections
from src.datasets.selection import UNREADABLE, Selection, choose
from src.datasets.stored_selection import key_of, remembered
from src.utils.errors import UserError
from src.utils.packed import PickedStrings

SPEAKERS = ("all", "train", "validation")


class LibriSpeech(Dataset[Utterance]):
    """Utterances of one or several parts; ids are LibriSpeech's own, e.g. `103-1240-0000`.

    Parts are indexed once and transcripts looked at once; later starts map what was found into
    memory, where all processes share it, so that ten million utterances open in seconds.

    Args:
        root: the folder LibriSpeech, or the one around it.
        parts: such as ["train-clean-100"]; any folder in the official layout will do.
        text: text object of the vocabulary; None leaves targets empty.
        speakers: "all"; or "train" or "validation", which share out the speakers.
        validation_share: 0 … 1, about which share of the speakers is "validation".
        index_dir: where indices and selections are kept; None scans the parts, and looks at
            every transcript, at each start.
        download, base_url, checksums: whether to fetch missing parts, where from, and what a
            mirror's archives must hash to; see `download_missing`.
        sample_rate: wanted rate in Hz.
        resample: False refuses files of another rate.
        min_duration_s, max_duration_s, max_text_length, limit, sort: see `select`.

    Attributes:
        unreadable: id → reason of each utterance that is left out because its audio's header
            can't be read.

    Raises:
        UserError: a part is missing, or no utterance can be used.
    """

    def __init__(
        self,
        root: str | Path,
        parts: str | Sequence[str],
        text,
        *,
        speakers: str = "all",
        validation_share: float = 0.05,
        index_dir: str | Path | None = None,
        download: bool = False,
        base_url: str | Sequence[str] = OFFICIAL_URL,
        checksums: Mapping[str, str] | None = None,
        sample_rate: int = 16000,
        resample: bool = True,
        min_duration_s: float = 0.0,
        max_duration_s: float | None = None,
        max_text_length: int | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> None:
        parts = [parts] if isinstance(parts, str) else list(parts)
        _check(parts, speakers, validation_share)
        if download:
            download_missing(Path(root), parts, base_url, checksums)
        folders = find_parts(Path(root), parts)
        tables, flaws = zip(*(load_index(folder, index_dir) for folder in folders), strict=True)
        limits = {
            "min_duration_s": min_duration_s,
            "max_duration_s": max_duration_s,
            "max_text_length": max_text_length,
            "limit": limit,
            "sort": sort,
        }
        side = Side(speakers, validation_share)
        lost = side.rejections(flaws)
        self.unreadable = dict(lost.explanations.get(UNREADABLE, {}))
        self.sample_rate = sample_rate
        self._rows = Rows(folders, tables)
        self._text = text
        self.resample = resample
        chosen = "" if speakers == "all" else f" ({speakers} speakers)"
        corpus = f"LibriSpeech {'+'.join(parts)}{chosen}"
        digests = [table.digest for table in tables]
        facts = [corpus, digests, speakers, validation_share, limits]
        self._chosen = remembered(
            index_dir,
            key_of(text, facts) if None not in digests else None,
            lambda: self._select(corpus, side, lost, limits),
        )

    def _select(
        self, corpus: str, side: Side, lost: Rejections, limits: Mapping[str, Any]
    ) -> tuple[Selection, np.ndarray]:
        """The rows worth keeping, of all parts, and their durations."""
        side.check_someone_speaks(self._rows.parts)
        rows, repeated = self._rows.usable(side)
        for name in repeated:
            lost.add(LISTED_TWICE, name)
        durations_s = self._rows.durations_s[rows]
        selection = choose(
            *(corpus, self._rows.ids(rows), durations_s, self._rows.transcripts(rows), self._text),
            **limits,
            already_rejected=lost,
        )
        kept = selection.rows
        return dataclasses.replace(selection, rows=rows[kept]), durations_s[kept]

    def __len__(self) -> int:
        return len(self._chosen["rows"])

    @property
    def durations_s(self) -> np.ndarray:
        """(n,) float32 seconds."""
        return self._chosen["durations_s"]

    @property
    def ids(self) -> PickedStrings:
        """LibriSpeech's own names, unique over all parts."""
        return self._rows.ids(self._chosen["rows"])

    @property
    def transcripts(self) -> PickedStrings:
        """As the corpus prints them."""
        return self._rows.transcripts(self._chosen["rows"])

    def __getitem__(self, index: int) -> Utterance:
        """Raises UserError where the audio is damaged or of a rate that may not be resampled."""
        waveform = audio.read(self.source(index), self.sample_rate, resample=self.resample)
        return dataclasses.replace(self.describe(index), waveform=waveform)

    def describe(self, index: int) -> Utterance:
        """The utterance with a waveform of 0 samples; no audio is touched."""
        name, _, transcript, speaker = self._rows.utterance(int(self._chosen["rows"][index]))
        target, tokens = "", ()
        if self._text is not None:
            target = self._text.target(transcript)
            tokens = self._text.vocabulary.encode(target)
        return Utterance(name, NO_SOUND, transcript, target, tokens, speaker)

    def source(self, index: int) -> Path:
        """The file that holds the sound."""
        return Path(self._rows.utterance(int(self._chosen["rows"][index]))[1])


def _check(parts: list[str], speakers: str, validation_share: float) -> None:
    if not parts or len(set(parts)) != len(parts):
        raise UserError(f"parts={parts}: name at least one part of LibriSpeech, each once.")
    if speakers not in SPEAKERS:
        raise UserError(f"speakers={speakers}: expected one of {', '.join(SPEAKERS)}.")
    if not 0 < validation_share < 1:
        raise UserError(
            f"validation_share={validation_share}: expected a share between 0 and 1, such as 0.05."
        )
