"""Substitutions, deletions and insertions between two strings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

# jiwer counts with rapidfuzz too, but wraps each call in transforms and checks of its own; called
# directly, 100 thousand pairs take a tenth of the time, and a command starts sooner.
from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Units (words, characters, phonemes) of one alignment with the fewest errors.

    Add them up over a corpus before dividing: averaging per-utterance rates would let a
    one-word clip weigh as much as a paragraph.
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    hits: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference_length(self) -> int:
        return self.substitutions + self.deletions + self.hits

    @property
    def rate(self) -> float:
        """Errors over reference length, a fraction; may exceed 1.

        An empty reference counts as one unit long, so that what is inserted there is finite
        and never free.
        """
        return self.errors / max(self.reference_length, 1)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.hits + other.hits,
        )


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Errors between the words of two strings; words are what white space divides."""
    return count_errors(reference.split(), hypothesis.split())


def character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Errors between the characters of two strings.

    A space between words is a character; more of them, and those at the ends, are none: a
    decoder that emits the space twice has read the same words.
    """
    return count_errors(" ".join(reference.split()), " ".join(hypothesis.split()))


def phoneme_errors(reference: str, hypothesis: str, boundary: str = "|") -> ErrorCounts:
    """Errors between phonemes divided by white space; word boundaries are not phonemes."""
    return count_errors(phonemes(reference, boundary), phonemes(hypothesis, boundary))


def phonemes(text: str, boundary: str = "|") -> list[str]:
    """The phonemes of a target string: "N AY N | T UW" → [N, AY, N, T, UW]."""
    return [symbol for symbol in text.split() if symbol != boundary]


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """Errors of an alignment of two sequences with the least Levenshtein distance."""
    if reference == hypothesis:
        return ErrorCounts(hits=len(reference))
    kinds = [kind for kind, _, _ in Levenshtein.editops(reference, hypothesis).as_list()]
    substitutions, deletions = kinds.count("replace"), kinds.count("delete")
    return ErrorCounts(
        substitutions=substitutions,
        deletions=deletions,
        insertions=len(kinds) - substitutions - deletions,
        hits=len(reference) - substitutions - deletions,
    )


def corpus_rate(counts: Iterable[ErrorCounts]) -> float:
    """Summed errors over summed reference length, a fraction."""
    return sum(counts, ErrorCounts()).rate


def aligned(
    reference: Sequence[str], hypothesis: Sequence[str], width: int = 100
) -> list[tuple[str, str]]:
    """Two lines, unit under unit, with *** where the other side has one more.

    Args:
        width: characters after which a new pair of lines begins; a longer unit has its own.
    """
    columns: list[tuple[str, str]] = []
    for _, i, i_end, j, j_end in Levenshtein.opcodes(reference, hypothesis):
        # A block is as long on both sides, or empty on one.
        above = list(reference[i:i_end]) or ["***"] * (j_end - j)
        below = list(hypothesis[j:j_end]) or ["***"] * (i_end - i)
        columns += zip(above, below, strict=True)
    lines, used = [("", "")], 0
    for above, below in columns:
        wide = max(len(above), len(below)) + 1
        if used and used + wide > width:
            lines.append(("", ""))
            used = 0
        lines[-1] = (lines[-1][0] + above.ljust(wide), lines[-1][1] + below.ljust(wide))
        used += wide
    return [(above.rstrip(), below.rstrip()) for above, below in lines]
