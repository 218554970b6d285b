"""LibriSpeech's transcripts, our index of them, and lists beside recordings.

Text carries no checksum: other letters of a transcript can't be told. The index does: what it
gives is what a new scan would give.
"""

import zlib
from pathlib import Path

import numpy as np

from src.datasets import AudioFiles, LibriSpeech, cached
from src.datasets.commands.folder import SPLITS, scan_folder
from src.text import Characters
from tests.datasets.commands.tiny_commands import write_corpus
from tests.datasets.tiny_corpus import write_chapter
from tests.fuzz.mutations import damaged, scribbled
from tests.fuzz.pool import expect

SAID = ("GOOD MORNING", "IT'S A FINE DAY", "NO", "ONE TWO THREE FOUR FIVE", "THE END OF IT")


class Transcripts:
    """PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt."""

    name = "transcripts"
    list = Path("1", "7-1.trans.txt")

    def prepare(self, originals: Path) -> None:
        write_chapter(originals, "7", dict.fromkeys(SAID, 0.1), suffix=".wav")

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        chapter = case / "part" / "7" / "1"
        chapter.mkdir(parents=True)
        for path in (originals / "7" / "1").iterdir():
            if path.suffix == ".wav":
                (chapter / path.name).hardlink_to(path)
            else:
                (chapter / path.name).write_bytes(scribbled(path.read_text(), random))

    def check(self, originals: Path, case: Path) -> None:
        text = Characters()
        dataset = LibriSpeech(case, "part", text)
        expect(len(set(dataset.ids)) == len(dataset) <= len(SAID), "ids twice")
        listed = (case / "part" / "7" / "1" / "7-1.trans.txt").read_text(encoding="utf-8-sig")
        for row in range(len(dataset)):
            utterance = dataset[row]
            line = f"{utterance.id} {utterance.transcript}"
            found = [" ".join(known.split()) for known in listed.split("\n")]
            expect(" ".join(line.split()) in found, f"{line!r} is no line of the list")
            expect(text.vocabulary.decode(utterance.tokens) == utterance.target, "tokens")
            expect(len(utterance.waveform) == 1_600, "another recording")


class Index:
    """What `index_dir` keeps of a corpus that has not changed since."""

    name = "index"

    def prepare(self, originals: Path) -> None:
        for speaker in ("7", "8"):
            write_chapter(originals / "part", speaker, dict.fromkeys(SAID, 0.1), suffix=".wav")
        dataset = LibriSpeech(originals, "part", Characters(), index_dir=originals / "index")
        np.save(originals / "truth.npy", _rows(dataset))

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        _damaged_copy(originals / "index", case / "index", random)

    def check(self, originals: Path, case: Path) -> None:
        dataset = LibriSpeech(originals, "part", Characters(), index_dir=case / "index")
        rows, truth = _rows(dataset), np.load(originals / "truth.npy")
        expect(np.array_equal(rows, truth), f"other rows: {rows} instead of {truth}")


class SplitLists:
    """validation_list.txt and testing_list.txt of Speech Commands."""

    name = "split-lists"
    lists = ("validation_list.txt", "testing_list.txt")

    def prepare(self, originals: Path) -> None:
        write_corpus(originals / "clips", n_each=1, lengths=(160,))

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        for folder in (originals / "clips").iterdir():
            if folder.is_dir():
                (case / folder.name).symlink_to(folder)
        chosen = self.lists[random.integers(2)]
        for name in self.lists:
            content = (originals / "clips" / name).read_text()
            changed = scribbled(content, random) if name == chosen else content.encode()
            (case / name).write_bytes(changed)

    def check(self, originals: Path, case: Path) -> None:
        clips = scan_folder(case)
        expect(len({clip.id for clip in clips}) == len(clips) == 12, "clips lost or doubled")
        for split, name in zip(SPLITS[1:], self.lists, strict=True):
            lines = {line.strip() for line in (case / name).read_text().splitlines()}
            for clip in clips:
                listed = f"{clip.id}.wav" in lines
                expect(not listed or SPLITS[clip.split] == split, f"{clip.id} not in {split}")


class Notes:
    """The .txt file with the transcript of the recording beside it."""

    name = "notes"

    def prepare(self, originals: Path) -> None:
        write_chapter(originals, "7", {"GOOD MORNING": 0.1}, suffix=".wav")

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        (case / "a.wav").hardlink_to(next(originals.rglob("*.wav")))
        (case / "a.txt").write_bytes(scribbled("Good morning, it's a fine day.\n", random))

    def check(self, originals: Path, case: Path) -> None:
        dataset = AudioFiles(case, Characters())
        text = " ".join((case / "a.txt").read_text(encoding="utf-8-sig").split())
        expect(dataset[0].transcript == text, "another transcript")


class Cache:
    """The packed cache of decoded samples."""

    name = "cache"

    def prepare(self, originals: Path) -> None:
        write_chapter(originals / "part", "7", dict.fromkeys(SAID, 0.1), suffix=".wav")
        dataset = cached(LibriSpeech(originals, "part", None), originals / "cache", n_workers=0)
        np.save(originals / "truth.npy", _rows(dataset))

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        _damaged_copy(originals / "cache", case / "cache", random)

    def check(self, originals: Path, case: Path) -> None:
        dataset = LibriSpeech(originals, "part", None)
        rows = _rows(cached(dataset, case / "cache", n_workers=0))
        truth = np.load(originals / "truth.npy")
        expect(np.array_equal(rows, truth), f"other rows: {rows} instead of {truth}")


KINDS = [Transcripts(), Index(), SplitLists(), Notes(), Cache()]


def _damaged_copy(folder: Path, target: Path, random: np.random.Generator) -> None:
    """All files of a folder, one of them damaged."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = [path.read_bytes() for path in paths]
    chosen = random.integers(len(paths))
    for i, (path, content) in enumerate(zip(paths, contents, strict=True)):
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(damaged(content, random, contents)[0] if i == chosen else content)


def _rows(dataset: LibriSpeech) -> np.ndarray:
    """(n,) str: all that is known of each utterance."""
    utterances = [dataset[row] for row in range(len(dataset))]
    return np.array(
        [
            f"{u.id} {u.transcript} {u.target} {u.tokens} {u.speaker} {seconds:.6f} "
            f"{len(u.waveform)} {zlib.crc32(u.waveform.tobytes())}"
            for u, seconds in zip(utterances, dataset.durations_s.tolist(), strict=True)
        ]
    )
