"""Prediction files (one JSON object an utterance) → strings to compare → error counts."""

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from src.metrics.errors import (
    ErrorCounts,
    character_errors,
    phoneme_errors,
    phonemes,
    word_errors,
)
from src.utils.errors import UserError

READINGS = ("pred_text", "greedy_text", "beam_text", "pred_word")  # of a file, to be compared
_MANY_FILES = 5000  # from here on a progress bar is worth its line


class TextPair(NamedTuple):
    """What was said and what was understood, as one prediction file tells it."""

    file: str  # path below the folder
    reference: str
    hypothesis: str
    unit: str = "character"  # or "phoneme": symbols divided by spaces
    word: str | None = None  # phoneme models with a lexicon: the words said; None where unknown
    pred_word: str = ""  # the word the decoded phonemes mean; "" where they mean none
    word_posterior: float | None = None  # how sure that word is
    # (word, confidence) of the hypothesis in order, or (phoneme, confidence); None where unknown
    confidences: tuple[tuple[str, float], ...] | None = None


class Skipped(NamedTuple):
    """A file that could not be scored."""

    file: str
    reason: str


def read_predictions(
    folder: str | Path, field: str = "pred_text"
) -> tuple[list[TextPair], list[Skipped]]:
    """Every *.json below `folder`, in order of their paths, and what could not be read there.

    Args:
        folder: searched with its subfolders.
        field: the key that holds the hypothesis, one of READINGS; pred_word, the words that a
            phoneme model found in its lexicon, against the words said, as of letters.

    Raises:
        UserError: no such folder, or no JSON file in it.
    """
    pairs: list[TextPair] = []
    skipped: list[Skipped] = []
    for read in each_prediction(folder, field):
        (pairs if isinstance(read, TextPair) else skipped).append(read)
    return pairs, skipped


def each_prediction(folder: str | Path, field: str = "pred_text") -> Iterator[TextPair | Skipped]:
    """As `read_predictions`, one after the other: however many there are, one is held at a time."""
    folder = Path(folder)
    names, closed = _json_files(folder)
    yield from closed
    for name in _with_progress(names):
        yield _read(folder / name, name, field)


def measure(pair: TextPair, normalise: Callable[[str], str]) -> dict[str, ErrorCounts]:
    """Error counts of one utterance, by name; the first is the one that matters most.

    Characters: WER and CER of the normalised texts. Phonemes: PER of the symbols as they stand
    and, where the file names them, "word error" of the words found through the lexicon.
    """
    if pair.unit != "phoneme":
        texts = normalise(pair.reference), normalise(pair.hypothesis)
        return {"WER": word_errors(*texts), "CER": character_errors(*texts)}
    measures = {"PER": phoneme_errors(pair.reference, pair.hypothesis)}
    if pair.word is not None:
        words = normalise(pair.word), normalise(pair.pred_word)
        measures["word error"] = word_errors(*words)
    return measures


def compared_units(pair: TextPair, normalise: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """Reference and hypothesis as the units of the leading rate: phonemes, or normalised words."""
    if pair.unit == "phoneme":
        return phonemes(pair.reference), phonemes(pair.hypothesis)
    return normalise(pair.reference).split(), normalise(pair.hypothesis).split()


def _read(path: Path, name: str, field: str) -> TextPair | Skipped:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return Skipped(name, "no plain file")
        content = path.read_bytes()
        if not content.strip():
            return Skipped(name, "empty file")
        found = json.loads(content)
    except OSError as error:
        return Skipped(name, f"unreadable ({error.strerror or error})")
    except (ValueError, RecursionError) as error:
        return Skipped(name, f"not JSON ({error})")
    if not isinstance(found, dict):
        return Skipped(name, f"holds a {type(found).__name__}, expected an object")
    return text_pair(found, name, field)


def text_pair(found: dict[str, Any], name: str, field: str = "pred_text") -> TextPair | Skipped:
    """The content of a prediction file as it is compared; Skipped where a text is missing."""
    if field == "pred_word":
        return _words_of(found, name)
    if not isinstance(found.get(field), str):
        return Skipped(name, f"no {field}")
    if not isinstance(found.get("text"), str):
        return Skipped(name, "no text to compare with")
    word, pred_word = found.get("word"), found.get("pred_word")
    unit, posterior = found.get("unit", "character"), found.get("word_posterior")
    return TextPair(
        file=name,
        reference=found["text"],
        hypothesis=found[field],
        unit=unit,
        word=word if isinstance(word, str) and "pred_word" in found else None,
        # null (the decoded phonemes mean no word) is an answer too, and a wrong one
        pred_word=pred_word if isinstance(pred_word, str) else "",
        word_posterior=posterior if _is_share(posterior) else None,
        # The words and tokens of a file are those of its pred_text.
        confidences=_confidences(found, unit) if field == "pred_text" else None,
    )


def _words_of(found: dict[str, Any], name: str) -> TextPair | Skipped:
    """What a phoneme model's words are beside those said; null means that it found none."""
    if "pred_word" not in found:
        return Skipped(name, "no pred_word")
    if not isinstance(found.get("word"), str):
        return Skipped(name, "no word to compare with")
    said, read = found["word"], found["pred_word"]
    return TextPair(name, said, read if isinstance(read, str) else "")


def _confidences(found: dict, unit: object) -> tuple[tuple[str, float], ...] | None:
    """What the file says of each word (or phoneme); None where any of them lacks a confidence."""
    name, items = ("token", "tokens") if unit == "phoneme" else ("word", "words")
    try:
        pairs = tuple((item[name], item["confidence"]) for item in found[items])
    except (KeyError, TypeError):
        return None
    whole = all(isinstance(word, str) and _is_share(confidence) for word, confidence in pairs)
    return pairs if whole else None


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _json_files(folder: Path) -> tuple[list[str], list[Skipped]]:
    """Paths below `folder`, sorted, and the subfolders that could not be listed."""
    how = (
        "Predict first: python inference.py -cn=inference (test-clean) or -cn=inference_other "
        "(test-other), then give the folder it names."
    )
    if not folder.is_dir():
        raise UserError(f"{folder}: {'not a' if folder.exists() else 'no such'} folder. {how}")
    closed: list[OSError] = []
    names = []
    # Plain strings: with 100 thousand files, sorting paths would take a third of the time.
    for parent, _, files in os.walk(folder, onerror=closed.append):
        below = os.path.relpath(parent, folder)
        prefix = "" if below == os.curdir else below + os.sep
        names += [prefix + name for name in files if name.endswith(".json")]
    if not names and not closed:
        raise UserError(f"{folder}: holds no .json file. {how}")
    skipped = [
        Skipped(os.path.relpath(error.filename, folder), f"unreadable ({error.strerror})")
        for error in closed
    ]
    return sorted(names), skipped


def _with_progress(names: list[str]) -> Iterable[str]:
    if len(names) < _MANY_FILES or not sys.stderr.isatty():
        return names
    from tqdm import tqdm  # only where shown: its import takes a quarter of the start

    return tqdm(names, desc="reading", unit=" files", leave=False)
