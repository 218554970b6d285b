"""Text as it is said and as it is written: running words, cut anew for every batch."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from src.utils.errors import UserError

Spelling = tuple[Sequence[int], Sequence[int]]  # tokens of a word: as said, and to write


class Written:
    """Words one after the other, with what is said and what is written for each.

    Args:
        sentences: words of each; a text of a batch may begin and end within them, as utterances do.
        spell: what is said and written for a word; None where nobody can tell, and its sentence is
            left out.
        between: token that the model that hears has between words; None = none.

    Attributes:
        n_left_out: sentences.

    Raises:
        UserError: fewer words than the longest text of a batch.
    """

    shortest, longest = 6, 45  # words of a text, drawn for each batch

    def __init__(
        self,
        sentences: Iterable[Sequence[str]],
        spell: Callable[[str], Spelling | None],
        between: int | None,
    ) -> None:
        numbers: dict[str, int] = {}
        spellings: list[Spelling | None] = []
        words: list[int] = []
        self.n_left_out = 0
        for sentence in sentences:
            for word in sentence:
                if word not in numbers:
                    numbers[word] = len(numbers)
                    spellings.append(spell(word))
            some = [numbers[word] for word in sentence]
            if any(spellings[i] is None for i in some):
                self.n_left_out += 1
            else:
                words += some
        if len(words) < self.longest:
            raise UserError(
                f"Only {len(words)} words of the text can be both said and written; a speller "
                "learns from thousands, better millions."
            )
        self.words = np.array(words, np.int32)
        self._n_head = 0 if between is None else 1
        head = [between] * self._n_head
        spellings = [spelling or ((), ()) for spelling in spellings]  # of words left out
        self._said = [np.array([*head, *said], np.int64) for said, _ in spellings]
        self._written = [np.array(written, np.int64) for _, written in spellings]

    def __len__(self) -> int:
        return len(self.words)

    def tokens(self) -> set[int]:
        """All that is ever said."""
        return set(np.concatenate([self._said[i] for i in np.unique(self.words)]).tolist())

    def digest(self) -> str:
        """Tells one text from another."""
        parts = (self.words, *self._said, *self._written)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def batch(
        self, n_words: int, random: np.random.Generator
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Texts of about `n_words` words together, all of one length: as said, and as written."""
        length = int(random.integers(self.shortest, self.longest + 1))
        starts = random.integers(len(self.words) - length + 1, size=max(1, n_words // length))
        texts = [self.words[start : start + length] for start in starts]
        said = [np.concatenate([self._said[i] for i in text])[self._n_head :] for text in texts]
        return said, [np.concatenate([self._written[i] for i in text]) for text in texts]
