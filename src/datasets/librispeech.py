"""LibriSpeech in its official layout, read file by file."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from src import audio
from src.batch import Utterance
from src.datasets.librispeech_download import download_missing
from src.datasets.librispeech_index import LISTED_TWICE, load_index
from src.datasets.librispeech_parts import OFFICIAL_URL, find_parts
from src.datasets.packed import PackedStrings
from src.datasets.selection import UNREADABLE, Rejections, select
from src.utils.errors import UserError

SPEAKERS = ("all", "train", "validation")


class LibriSpeech(Dataset[Utterance]):
    """Utterances of one or several parts; ids are LibriSpeech's own, e.g. `103-1240-0000`.

    Parts are indexed once; later starts read the index.

    Args:
        root: the folder LibriSpeech, or the one around it.
        parts: such as ["train-clean-100"]; any folder in the official layout will do.
        text: text object of the vocabulary; None leaves targets empty.
        speakers: "all"; or "train" or "validation", which share out the speakers.
        validation_share: 0 … 1, about which share of the speakers is "validation".
        index_dir: where indices are kept; None scans the parts at every start.
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
        rows = _Rows(speakers, validation_share)
        for folder in find_parts(Path(root), parts):
            rows.add_part(folder, index_dir)
        rows.check_someone_speaks()
        chosen = "" if speakers == "all" else f" ({speakers} speakers)"
        kept = select(
            f"LibriSpeech {'+'.join(parts)}{chosen}",
            rows.ids,
            np.array(rows.durations_s, np.float32),
            rows.transcripts,
            text,
            min_duration_s=min_duration_s,
            max_duration_s=max_duration_s,
            max_text_length=max_text_length,
            limit=limit,
            sort=sort,
            already_rejected=rows.rejections,
        )
        self.sample_rate = sample_rate
        self.unreadable = rows.rejections.explanations.get(UNREADABLE, {})
        self.durations_s = np.array(rows.durations_s, np.float32)[kept]
        self.ids = PackedStrings.of(rows.ids[row] for row in kept)
        self._paths = PackedStrings.of(rows.paths[row] for row in kept)
        self._transcripts = PackedStrings.of(rows.transcripts[row] for row in kept)
        self._speakers = PackedStrings.of(rows.speakers[row] for row in kept)
        self._text = text
        self._resample = resample

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Utterance:
        """Raises UserError where the audio is damaged or of a rate that may not be resampled."""
        transcript = self._transcripts[index]
        target, tokens = "", ()
        if self._text is not None:
            target = self._text.target(transcript)
            tokens = self._text.vocabulary.encode(target)
        return Utterance(
            id=self.ids[index],
            waveform=audio.read(self._paths[index], self.sample_rate, resample=self._resample),
            transcript=transcript,
            target=target,
            tokens=tokens,
            speaker=self._speakers[index],
        )


def is_validation_speaker(speaker: str, share: float) -> bool:
    """Whether a speaker is held out: by a hash of the name alone.

    So nobody changes sides when parts, files or speakers come or go, on any machine.
    """
    digest = hashlib.sha256(speaker.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


class _Rows:
    """The readable utterances of the chosen speakers, column by column, over all parts."""

    def __init__(self, speakers: str, validation_share: float) -> None:
        self.ids: list[str] = []
        self.paths: list[str] = []
        self.transcripts: list[str] = []
        self.speakers: list[str] = []
        self.durations_s: list[float] = []
        self.rejections = Rejections()
        self._choice = speakers
        self._validation_share = validation_share
        self._seen: set[str] = set()
        self._everyone: set[str] = set()

    def add_part(self, folder: Path, index_dir: str | Path | None) -> None:
        index, rejections = load_index(folder, index_dir)
        for reason, names in rejections.ids_by_reason.items():
            for name in filter(self._of_chosen_speaker, names):
                explanation = rejections.explanations.get(reason, {}).get(name, "")
                self.rejections.add(reason, name, explanation)
        self._everyone.update(index.speakers)
        columns = (index.ids, index.paths, index.transcripts, index.speakers)
        readable = np.isfinite(index.durations_s)
        for i, (name, path, transcript, speaker) in enumerate(zip(*columns, strict=True)):
            if not readable[i] or not self._is_chosen(speaker):
                continue
            if name in self._seen:
                self.rejections.add(LISTED_TWICE, name)
                continue
            self._seen.add(name)
            self.ids.append(name)
            self.paths.append(f"{folder}/{path}")
            self.transcripts.append(transcript)
            self.speakers.append(speaker)
            self.durations_s.append(index.durations_s[i])

    def check_someone_speaks(self) -> None:
        """Refuse a share of the speakers that leaves nobody on the chosen side."""
        if self._everyone and not any(map(self._is_chosen, self._everyone)):
            raise UserError(
                f"validation_share={self._validation_share}: of these {len(self._everyone)} "
                f"speakers none falls to {self._choice}. "
                f"{'Raise' if self._choice == 'validation' else 'Lower'} dataset.validation_share."
            )

    def _of_chosen_speaker(self, name: str) -> bool:
        """`name` is an id, 103-1240-0000, or a path below the part, 103/1240/…"""
        return self._is_chosen(name.replace("/", "-").split("-", 1)[0])

    def _is_chosen(self, speaker: str) -> bool:
        if self._choice == "all":
            return True
        held_out = is_validation_speaker(speaker, self._validation_share)
        return held_out == (self._choice == "validation")


def _check(parts: list[str], speakers: str, validation_share: float) -> None:
    if not parts or len(set(parts)) != len(parts):
        raise UserError(f"parts={parts}: name at least one part of LibriSpeech, each once.")
    if speakers not in SPEAKERS:
        raise UserError(f"speakers={speakers}: expected one of {', '.join(SPEAKERS)}.")
    if not 0 < validation_share < 1:
        raise UserError(
            f"validation_share={validation_share}: expected a share between 0 and 1, such as 0.05."
        )
