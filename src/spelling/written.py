"""Text as it is said and as it is written: running words, cut anew for every batch."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from src.utils.errors import UserError

Spelling = tuple[Sequence[int], Sequence[int]]  # tokens of a word: as said, and to write


class Text(NamedTuple):
    """Some words, as a speller learns from them."""

    said: np.ndarray  # (n,) tokens of the model that hears
    words: np.ndarray  # (n,) which word each of them belongs to, from 0, ascending
    written: list[np.ndarray]  # tokens to write, of each word


class Written:
    """Words one after the other, with what is said and what is written for each.

    Args:
        sentences: words of each; a text of a batch may begin and end within them, as utterances do.
        spell: what is said and written for a word; None where nobody can tell, and its sentence is
            left out.
        between: token that the model that hears has between words; None = none.
        more: further words, which no sentence need hold.
        rare: share of the texts that are no running words, but words drawn by the root of how
            often they stand there, so that rare ones are spelt too.

    Attributes:
        n_left_out: sentences. n_more: further words that no sentence held.

    Raises:
        UserError: fewer words than the longest text of a batch.
    """

    shortest, longest = 6, 45  # words of a text, drawn for each batch

    def __init__(
        self,
        sentences: Iterable[Sequence[str]],
        spell: Callable[[str], Spelling | None],
        between: int | None,
        more: Iterable[str] = (),
        rare: float = 0.0,
    ) -> None:
        self.rare, self.n_left_out = rare, 0
        self._numbers: dict[str, int] = {}
        spellings: list[Spelling | None] = []
        words: list[int] = []
        for sentence in sentences:
            some = [self._number(word, spellings, spell) for word in sentence]
            if any(spellings[i] is None for i in some):
                self.n_left_out += 1
            else:
                words += some
        n_met = len(spellings)
        for word in more:
            self._number(word, spellings, spell)
        self.n_more = sum(spelling is not None for spelling in spellings[n_met:])
        if len(words) < self.longest:
            raise UserError(
                f"Only {len(words)} words of the text can be both said and written; a speller "
                "learns from thousands, better millions."
            )
        self.words = np.array(words, np.int32)
        head = [] if between is None else [between]
        known = [spelling or ((), ()) for spelling in spellings]
        self._said = [np.array([*head, *said], np.int64) for said, _ in known]
        self._written = [np.array(written, np.int64) for _, written in known]
        self._n_head = len(head)
        counts = np.bincount(self.words, minlength=len(known)) + 0.5
        counts[[spelling is None for spelling in spellings]] = 0.0
        self._drawn = np.sqrt(counts).cumsum() / np.sqrt(counts).sum()

    def __len__(self) -> int:
        return len(self.words)

    def tokens(self) -> set[int]:
        """All that is ever said."""
        return {int(token) for said in self._said if len(said) > self._n_head for token in said}

    def digest(self) -> str:
        """Tells one text from another."""
        parts = (self.words, self._drawn, *self._said, *self._written)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def batch(self, n_words: int, random: np.random.Generator) -> list[Text]:
        """Texts of about `n_words` words together, all of one length."""
        length = int(random.integers(self.shortest, self.longest + 1))
        return [self._text(length, random) for _ in range(max(1, n_words // length))]

    def _text(self, length: int, random: np.random.Generator) -> Text:
        if random.random() < self.rare:
            words = np.searchsorted(self._drawn, random.random(length), side="right")
        else:
            start = random.integers(len(self.words) - length + 1)
            words = self.words[start : start + length]
        said = [self._said[i] for i in words]
        said[0] = said[0][self._n_head :]
        owners = np.repeat(np.arange(length), [len(tokens) for tokens in said])
        return Text(np.concatenate(said), owners, [self._written[i] for i in words])

    def _number(
        self, word: str, spellings: list[Spelling | None], spell: Callable[[str], Spelling | None]
    ) -> int:
        if word not in self._numbers:
            self._numbers[word] = len(spellings)
            spellings.append(spell(word))
        return self._numbers[word]
