"""A small Speech Commands folder in the official layout, whose samples the tests know."""

from pathlib import Path

import numpy as np
import soundfile

from scripts.prepare_speech_commands import main

WORDS = ("bed", "down", "yes")
SPEAKERS = ("0a7c2a8d", "1b4c9b89", "2c6d3924", "3e7124ba")
SPLIT_OF = {"1b4c9b89": "validation", "2c6d3924": "test"}  # all others: train
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
SECOND = 16000


def write_corpus(folder: Path, n_each: int = 2, lengths: tuple[int, ...] = (SECOND,)) -> dict:
    """Noise as 16-bit WAV: `n_each` clips of every word by every speaker.

    Args:
        lengths: samples of the clips, taken in turn.

    Returns:
        id ("yes/0a7c2a8d_nohash_0") → samples (N,) int16.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    samples, lists = {}, {"validation": [], "test": []}
    for speaker in SPEAKERS:
        for take in range(n_each):
            for word in WORDS:
                clip_id = f"{word}/{speaker}_nohash_{take}"
                n = lengths[len(samples) % len(lengths)]
                samples[clip_id] = random.integers(-32768, 32768, n, dtype=np.int16)
                write_clip(folder, clip_id, samples[clip_id])
                if speaker in SPLIT_OF:
                    lists[SPLIT_OF[speaker]].append(clip_id)
    for split, ids in lists.items():
        (folder / LISTS[split]).write_text("".join(f"{name}.wav\n" for name in ids))
    return samples


def write_clip(folder: Path, clip_id: str, samples: np.ndarray, rate: int = SECOND) -> Path:
    """`samples` as 16-bit WAV under the name `clip_id`."""
    path = folder / f"{clip_id}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def split_of(clip_id: str) -> str:
    """The split in which `write_corpus` lists a clip."""
    return SPLIT_OF.get(clip_id.split("/")[1].partition("_")[0], "train")


def safe(clip_id: str) -> str:
    """The id of the dataset: no slash, so that it can name a file."""
    return clip_id.replace("/", "_")


def pack_corpus(folder: Path, **options) -> tuple[dict, Path]:
    """`write_corpus`, packed into one file: the samples by id, and the file."""
    corpus = write_corpus(folder / "clips", **options)
    main(["--source", str(folder / "clips"), "--out", str(folder / "commands.h5")])
    return corpus, folder / "commands.h5"
