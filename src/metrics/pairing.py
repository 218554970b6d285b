"""Folders of predictions → the same utterances side by side, and their errors as arrays."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from src.metrics.predictions import TextPair, compared_units, measure
from src.utils.errors import UserError

_NAMED = 5  # utterances are named up to here, then counted
_SHOWN = 40  # characters of a long text
_SPEAKERS = (
    re.compile(r"(\d+)-\d+-\d+"),  # LibriSpeech: speaker, chapter, utterance
    re.compile(r".+_([0-9a-f]+)_nohash_\d+"),  # Speech Commands
)


class Read(NamedTuple):
    """What one folder holds."""

    name: str  # as messages call it
    pairs: dict[str, TextPair]  # by utterance id


class Paired(NamedTuple):
    """Utterances that all folders have, in order of their ids."""

    ids: list[str]
    folders: list[list[TextPair]]  # of each folder, its reading of each id
    n_left_out: int  # utterances that only some folders have


class Measured(NamedTuple):
    """One rate of all folders, over the utterances for which all tell it."""

    errors: np.ndarray  # (folders, n)
    lengths: np.ndarray  # reference units, (n,)
    places: list[int]  # of the n utterances among all paired ones


def by_id(pairs: Sequence[TextPair]) -> dict[str, TextPair]:
    """Pairs by utterance id: the path of the file below the folder, without its ending."""
    return {PurePath(pair.file).with_suffix("").as_posix(): pair for pair in pairs}


def pair_up(folders: Sequence[Read], normalise: Callable[[str], str], common: bool) -> Paired:
    """The readings of each utterance side by side.

    Args:
        normalise: done to the references before they are held against each other.
        common: leave out what is not in every folder, instead of refusing.

    Raises:
        UserError: some utterances are not in every folder; or none is; or one was said otherwise
            in another folder.
    """
    shared = set.intersection(*(set(folder.pairs) for folder in folders))
    everything = set.union(*(set(folder.pairs) for folder in folders))
    if not shared:
        raise UserError(
            f"no utterance is in all of {_listed([folder.name for folder in folders])}; compare "
            "predictions of the same part of a corpus."
        )
    if shared != everything and not common:
        raise UserError(_lacking(folders, everything))
    ids = sorted(shared)
    _check_references(folders, ids, normalise)
    paired = [[folder.pairs[name] for name in ids] for folder in folders]
    return Paired(ids, paired, len(everything) - len(ids))


def measure_all(paired: Paired, normalise: Callable[[str], str]) -> dict[str, Measured]:
    """Errors of all folders by name of the rate, as `measure` names them; the first leads."""
    counts = [[measure(pair, normalise) for pair in pairs] for pairs in paired.folders]
    names = dict.fromkeys(name for measured in counts[0] for name in measured)
    found = {}
    for name in names:
        places = [
            place
            for place in range(len(paired.ids))
            if all(name in measured[place] for measured in counts)
        ]
        if not places:
            continue
        errors = [[measured[place][name].errors for place in places] for measured in counts]
        lengths = [counts[0][place][name].reference_length for place in places]
        found[name] = Measured(np.array(errors), np.array(lengths), places)
    return found


def speaker_of(utterance: str) -> str | None:
    """Who speaks, where the id tells: SPEAKER-CHAPTER-N (LibriSpeech) or WORD_SPEAKER_nohash_N
    (Speech Commands)."""
    matches = (pattern.fullmatch(PurePath(utterance).name) for pattern in _SPEAKERS)
    return next((match[1] for match in matches if match), None)


def _lacking(folders: Sequence[Read], everything: set[str]) -> str:
    """One sentence: which folder lacks which utterances."""
    lacking = {folder.name: sorted(everything - set(folder.pairs)) for folder in folders}
    n_missing = len(set().union(*lacking.values()))
    each = [f"{name} lacks {len(ids)} ({_listed(ids)})" for name, ids in lacking.items() if ids]
    return (
        f"{n_missing} of {len(everything)} utterances are not in every folder: "
        f"{', '.join(each)}; predict them there too, or compare what all have with --common."
    )


def _check_references(
    folders: Sequence[Read], ids: Sequence[str], normalise: Callable[[str], str]
) -> None:
    """Refuse errors that were counted against different texts, units or words."""
    first, *others = folders
    for other in others:
        differing = [
            name for name in ids if _differ(first.pairs[name], other.pairs[name], normalise)
        ]
        if differing:
            name = differing[0]
            pairs = first.pairs[name], other.pairs[name]
            said, said_there = _said(*pairs), _said(*reversed(pairs))
            raise UserError(
                f"{name}: is {said} in {first.name}, but {said_there} in {other.name}, and "
                f"{len(differing)} of {len(ids)} utterances differ so; only readings of the same "
                "text in the same unit can be compared."
            )


def _differ(pair: TextPair, other: TextPair, normalise: Callable[[str], str]) -> bool:
    if pair.unit != other.unit:
        return True
    if compared_units(pair, normalise)[0] != compared_units(other, normalise)[0]:
        return True
    # Where only one tells the word, there is no word error to compare, and PER is left.
    words = (pair.word, other.word)
    return None not in words and normalise(words[0]) != normalise(words[1])


def _said(pair: TextPair, other: TextPair) -> str:
    word = "" if pair.word is None else f", the word “{_parting(pair.word, other.word or '')}”"
    return f"“{_parting(pair.reference, other.reference)}” in units of a {pair.unit}{word}"


def _parting(text: str, other: str) -> str:
    """The text, or a piece of a long one: where it parts from the other, or else its beginning."""
    parted = (i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b)
    n_alike = next(parted, min(len(text), len(other)))
    start = 0 if text == other else max(0, min(n_alike - _SHOWN // 2, len(text) - _SHOWN))
    end = start + _SHOWN
    return "…" * (start > 0) + text[start:end] + "…" * (end < len(text))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
