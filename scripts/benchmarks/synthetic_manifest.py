"""A corpus of any size in LibriSpeech's layout, without its audio: folders, and their index."""

from pathlib import Path

import numpy as np

from src.datasets.librispeech.index import index_file, write_index
from src.datasets.librispeech.scan import Stamps, id_hash
from src.utils.packed import PackedStrings

CHAPTERS_OF_A_SPEAKER = 2
UTTERANCES_OF_A_CHAPTER = 50
LETTERS = 180  # of a transcript, on average; LibriSpeech has 184
WORDS = (
    "THE OF AND TO A IN I THAT HE WAS IT HIS HER HAD WITH AS FOR YOU NOT BUT AT ON IS SHE BE HAVE "
    "HIM WHICH MY SAID THEY ALL WERE FROM THIS SO THERE BY ONE NO WOULD WHAT WHEN AN COULD LITTLE "
    "NOTHING SOMETHING UNDERSTAND BEAUTIFUL CERTAINLY COMPANION DELIGHTED HOUSEKEEPER"
)
BLOCK = 1_000_000  # rows made at a time


def write_manifest(part: Path, index_dir: Path, n: int) -> Path:
    """Make the folders of `n` utterances and the index of them.

    Args:
        part: where to make them; must not exist.

    Returns:
        The index file.
    """
    chapters = np.arange(-(-n // UTTERANCES_OF_A_CHAPTER))
    stamps = _make_folders(part, chapters)
    index = index_file(part, index_dir)
    write_index(index, _columns(n) | stamps.columns())
    return index


def _make_folders(part: Path, chapters: np.ndarray) -> Stamps:
    """Speakers, chapters and empty transcript files; the readers ask for their dates only."""
    lists: dict[str, str] = {}
    for chapter in chapters.tolist():
        folder = f"{_speaker(chapter):06}/{chapter:06}"
        (part / folder).mkdir(parents=True)
        lists[folder] = f"{folder}/{_speaker(chapter):06}-{chapter:06}.trans.txt"
        (part / lists[folder]).touch()
    stamps = Stamps()
    stamps.add_folder(part, ".")
    for speaker in sorted({folder.split("/")[0] for folder in lists}):
        stamps.add_folder(part, speaker)
    for folder, name in lists.items():
        stamps.add_folder(part, folder)
        stamps.add_list(part, name)
    return stamps


def _speaker(chapter: np.ndarray | int) -> np.ndarray | int:
    return chapter // CHAPTERS_OF_A_SPEAKER


def _columns(n: int) -> dict[str, np.ndarray]:
    """The columns of a `PartIndex` of `n` rows, as a scan would have made them."""
    blocks = [np.arange(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    ids, paths = (_packed(np.concatenate([make(rows) for rows in blocks])) for make in (_id, _path))
    rng = np.random.default_rng(0)
    codes = _speaker(np.arange(n) // UTTERANCES_OF_A_CHAPTER).astype(np.int32)
    packed = {
        "ids": ids,
        "paths": paths,
        "transcripts": _transcripts(n, rng),
        "speakers": PackedStrings.of(f"{speaker:06}" for speaker in range(codes[-1] + 1)),
        "rejected_reasons": PackedStrings.of(()),
        "rejected_ids": PackedStrings.of(()),
    }
    columns = {
        "id_hashes": np.fromiter(map(id_hash, ids), np.uint64, n),
        "speaker_codes": codes,
        "durations_s": rng.normal(13.0, 3.0, n).clip(1.4, 16.9).astype(np.float32),
    }
    for name, strings in packed.items():
        columns |= {name: strings.data, f"{name}_offsets": strings.offsets}
    return columns


def _id(rows: np.ndarray) -> np.ndarray:
    """(n, 18) uint8, such as 000012-000025-0007."""
    chapter = rows // UTTERANCES_OF_A_CHAPTER
    numbers = (_speaker(chapter), 6), (chapter, 6), (rows % UTTERANCES_OF_A_CHAPTER, 4)
    first, second, third = (_digits(*number) for number in numbers)
    dash = np.full((len(rows), 1), ord("-"), np.uint8)
    return np.concatenate([first, dash, second, dash, third], axis=1)


def _path(rows: np.ndarray) -> np.ndarray:
    """(n, 37) uint8, such as 000012/000025/000012-000025-0007.flac."""
    ids = _id(rows)
    folder = np.where(ids[:, :14] == ord("-"), ord("/"), ids[:, :14]).astype(np.uint8)
    suffix = np.broadcast_to(np.frombuffer(b".flac", np.uint8), (len(rows), 5))
    return np.concatenate([folder, ids, suffix], axis=1)


def _digits(numbers: np.ndarray, width: int) -> np.ndarray:
    """(n, width) uint8, decimal."""
    powers = 10 ** np.arange(width - 1, -1, -1)
    return (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def _packed(rows: np.ndarray) -> PackedStrings:
    """Strings of one length, (n, length) uint8."""
    n, length = rows.shape
    return PackedStrings(rows.ravel(), np.arange(n + 1, dtype=np.int64) * length)


def _transcripts(n: int, rng: np.random.Generator) -> PackedStrings:
    """Spans of one long text, cut anywhere."""
    lengths = rng.normal(LETTERS, LETTERS / 3, n).clip(LETTERS / 10).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    text = np.frombuffer(" ".join(rng.choice(WORDS.split(), 200_000)).encode(), np.uint8)
    return PackedStrings(np.resize(text, offsets[-1]), offsets)
