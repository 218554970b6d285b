"""VoxForge: a folder a submission, SPEAKER-DATE-CODE, with wav/ or flac/ beside etc/.

http://www.voxforge.org; prompts are lines "KEY Text as read" in etc/prompts-original and
"FOLDER/mfc/KEY TEXT WITHOUT MARKS" in etc/PROMPTS. Submissions come from many programs and years.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from src import audio
from src.datasets.corpora.listed_corpus import ListedCorpus
from src.datasets.corpora.listing import Flaw, Row, lines_of
from src.datasets.rejections import NO_AUDIO, NO_TRANSCRIPT
from src.utils.errors import UserError
from src.utils.files import walk

CORPUS = "VoxForge"
PROMPTS = ("prompts-original", "PROMPTS", "prompts")  # the first has accents and marks
SOUNDS = ("wav", "flac")
ADVICE = "python -m scripts.prepare_data voxforge --help tells how to fetch it."


class VoxForge(ListedCorpus):
    """All submissions below a folder, of one language; see `ListedCorpus` for the keys.

    Ids are SUBMISSION-KEY. The speaker is the name before the date; each anonymous submission
    counts as a speaker of its own.
    """

    corpus = CORPUS

    def rows(self, root: Path, split: str) -> Iterator[Row | Flaw]:
        """All rows."""
        return voxforge_rows(root)


def voxforge_rows(root: Path) -> Iterator[Row | Flaw]:
    """The rows of all submissions.

    Raises:
        UserError: there are none.
    """
    homes = sorted(
        folder
        for folder, below, _ in walk(root)
        if "etc" in below and any(name in below for name in SOUNDS)
    )
    if not homes:
        raise UserError(
            f"{root.resolve()}: has no submissions of VoxForge, folders with etc/ beside wav/ or "
            f"flac/. Set dataset.root to the corpus. {ADVICE}"
        )
    for home in homes:
        yield from _submission(root, home)


def _submission(root: Path, home: Path) -> Iterator[Row | Flaw]:
    name = home.name
    speaker = name.split("-")[0]
    if not speaker or speaker.lower() == "anonymous":
        speaker = name
    prompts = _prompts(home / "etc")
    files = _sounds(home)
    for key, text in prompts.items():
        told = f"{name}-{key}"
        if key not in files:
            yield Flaw(told, NO_AUDIO, speaker=speaker)
        else:
            yield Row(told, files[key].relative_to(root).as_posix(), text, speaker)
    for key in sorted(files.keys() - prompts.keys()):
        yield Flaw(f"{name}-{key}", NO_TRANSCRIPT, speaker=speaker)


def _prompts(etc: Path) -> dict[str, str]:
    """Key of a recording → its words, from the first list that has them."""
    prompts: dict[str, str] = {}
    for path in filter(Path.is_file, (etc / name for name in PROMPTS)):
        # Old Spanish and French submissions are in Latin-1.
        for line in lines_of(path, fallback="latin-1"):
            key, _, text = line.partition(" ") if "\t" not in line else line.partition("\t")
            prompts.setdefault(PurePosixPath(key).name.removesuffix(".wav"), text.strip())
    return prompts


def _sounds(home: Path) -> dict[str, Path]:
    """Key → file, the first of its folders that has it."""
    files: dict[str, Path] = {}
    for folder in filter(Path.is_dir, (home / name for name in SOUNDS)):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in audio.EXTENSIONS and not path.name.startswith("."):
                files.setdefault(path.stem, path)
    return files
