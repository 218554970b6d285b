"""Mozilla Common Voice: a folder a language, with TSV lists beside clips/*.mp3.

Ardila et al., 2020, "Common Voice: A Massively-Multilingual Speech Corpus", arXiv:1912.06670.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from src.datasets.corpora.listed_corpus import ListedCorpus
from src.datasets.corpora.listing import Flaw, Row, find_home, flaw_of, lines_of, table_of
from src.datasets.rejections import NO_AUDIO
from src.utils.errors import UserError

CORPUS = "Common Voice"
ADVICE = (
    "Common Voice is free but needs an account: take a language at "
    "https://datacollective.mozillafoundation.org and unpack it."
)
LISTS = {"train": "train", "validation": "dev", "test": "test"}
NEEDED = ("client_id", "path", "sentence")


class CommonVoice(ListedCorpus):
    """One official part of one language; see `ListedCorpus` for the other keys.

    Args:
        root: the folder of the language, such as cv-corpus-17.0-2024-03-15/es, or one around it.
        split: "train", "validation" (dev.tsv) or "test".
        train_list: which list is trained on. "train" is small and has each sentence once;
            "validated" has all clips that two listeners approved, of which those of dev and
            test, and of people heard there, are left out.
    """

    corpus = CORPUS

    def __init__(
        self,
        root: str | Path,
        split: str,
        text,
        *,
        train_list: str = "train",
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
        self._train_list = train_list
        super().__init__(
            find_home(Path(root), "clips", CORPUS, ADVICE),
            split,
            text,
            validation_share=0.0,
            test_share=0.0,
            index_dir=index_dir,
            sample_rate=sample_rate,
            resample=resample,
            min_duration_s=min_duration_s,
            max_duration_s=max_duration_s,
            max_characters_per_s=max_characters_per_s,
            max_text_length=max_text_length,
            limit=limit,
            sort=sort,
        )

    def rows(self, root: Path, split: str) -> Iterator[Row | Flaw]:
        """The rows of one part."""
        return common_voice_rows(root, split, self._train_list)


def common_voice_rows(root: Path, split: str, train_list: str = "train") -> Iterator[Row | Flaw]:
    """The rows of one part of a language.

    Raises:
        UserError: a list is missing, or is not one of Common Voice.
    """
    held_out = set()
    if split == "train" and train_list != "train":
        for part in ("validation", "test"):
            for row in _listed(root, LISTS[part], part):
                held_out |= {row.id, row.speaker}
    name = train_list if split == "train" else LISTS[split]
    for row in _listed(root, name, split):
        if row.id not in held_out and (not row.speaker or row.speaker not in held_out):
            yield row


def _listed(root: Path, name: str, split: str) -> Iterator[Row | Flaw]:
    path = root / f"{name}.tsv"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in root.glob("*.tsv"))) or "none"
        raise UserError(f"{path}: no such list of Common Voice; in its folder there are {there}.")
    durations_s = _durations_s(root)
    # Names alone: of a million clips, Path objects would take seconds.
    there = set(os.listdir(root / "clips"))  # noqa: PTH208
    for line in table_of(path, NEEDED):
        if isinstance(line, Flaw):
            yield line._replace(split=split)
            continue
        clip = line["path"]
        clip = clip if Path(clip).suffix else f"{clip}.mp3"  # the first release left it out
        speaker = sys.intern(line["client_id"])  # 128 characters, thousands of times
        path, text = f"clips/{clip}", line["sentence"]
        row = Row(Path(clip).stem, path, text, speaker, split, duration_s=durations_s.get(clip))
        yield row if clip in there else flaw_of(row, NO_AUDIO)


def _durations_s(root: Path) -> dict[str, float]:
    """Clip → seconds, from the list that newer releases have; its columns are clip and ms."""
    path = root / "clip_durations.tsv"
    if not path.is_file():
        return {}
    pairs = (line.split("\t") for line in lines_of(path)[1:])
    return {p[0]: int(p[1]) / 1000 for p in pairs if len(p) == 2 and p[1].isdecimal()}
