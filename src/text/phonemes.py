"""Words as phonemes."""

import logging
from collections.abc import Iterable

from src.text.dictionaries import (
    CMU_PHONEMES,
    CSR_PHONEMES,
    SPEECH_COMMANDS,
    cmu_pronunciations,
    csr_pronunciations,
)
from src.text.guessed import guessed_pronunciation
from src.text.normaliser import Normaliser
from src.text.vocabulary import Vocabulary, shown
from src.utils.errors import UserError

logger = logging.getLogger(__name__)

BLANK = "_"
WORD_BOUNDARY = "|"  # csr-pytorch's " ", token 1: a space could not be seen between spaces
_DICTIONARIES = {
    "csr": (CSR_PHONEMES, csr_pronunciations),
    "cmu": (CMU_PHONEMES, cmu_pronunciations),
}


class Phonemes:
    """Transcripts as phoneme targets: "nine two" → "N AY N | T UW".

    Symbols are joined by spaces and "|" stands between words. A word's target is its
    dictionary's first pronunciation.

    Args:
        dictionary: "csr" (csr-pytorch's 46 symbols and 35 words) or "cmu" (39 phonemes, 41
            symbols, 126 thousand words).
        words: the words that can be said: "speech_commands", or a list of words. Then `lexicon`
            holds each with all its pronunciations. None: the whole CMU dictionary, and
            `lexicon` is None.
        guess: with "cmu", words that the dictionary lacks are said as eSpeak NG would.

    Raises:
        UserError: an unknown dictionary, list of words, or word, or guesses for "csr".
    """

    unit = "phoneme"

    def __init__(
        self,
        dictionary: str = "cmu",
        words: str | Iterable[str] | None = "speech_commands",
        guess: bool = False,
    ) -> None:
        if dictionary not in _DICTIONARIES:
            raise UserError(
                f"text.dictionary={dictionary}: there is no such dictionary; choose one of "
                f"{', '.join(_DICTIONARIES)}."
            )
        if guess and dictionary != "cmu":
            raise UserError(
                f"text.guess=true: guesses are of American phonemes, and text.dictionary="
                f"{dictionary} has others; take text.dictionary=cmu or text.guess=false."
            )
        phonemes, self._listed = _DICTIONARIES[dictionary]
        self.dictionary, self.guess = dictionary, guess
        self.vocabulary = Vocabulary((BLANK, WORD_BOUNDARY, *phonemes), separator=" ")
        self.normalise = Normaliser()
        self.lexicon = self._closed_lexicon(words)

    def target(self, transcript: str) -> str:
        """The transcript's words as phonemes, with "|" between words.

        Raises:
            UserError: words without a pronunciation, by name.
        """
        words = self.normalise(transcript).split()
        variants = [self.pronunciations(word) for word in words]
        unknown = [word for word, known in zip(words, variants, strict=True) if not known]
        if unknown:
            raise self._unknown(unknown, shown(transcript))
        return f" {WORD_BOUNDARY} ".join(known[0] for known in variants)

    def encode(self, transcript: str) -> tuple[int, ...]:
        """Token indices of the transcript's phonemes; raises as `target` does."""
        return self.vocabulary.encode(self.target(transcript))

    def pronunciations(self, word: str) -> tuple[str, ...]:
        """How a word may be said, the first first; () where nobody knows."""
        if self.lexicon is None:
            return self._pronunciations(word)
        return self.lexicon.get(word, ())

    def _pronunciations(self, word: str) -> tuple[str, ...]:
        """Those of the dictionary, or else a guess where it is wanted."""
        if (known := self._listed(word)) or not self.guess:
            return known
        guessed = guessed_pronunciation(word)
        return (guessed,) if guessed else ()

    def _closed_lexicon(self, words: str | Iterable[str] | None) -> dict[str, tuple] | None:
        if words is None and self.dictionary == "cmu":
            return None
        if words is None or (isinstance(words, str) and words != "speech_commands"):
            raise UserError(
                f"text.words={'null' if words is None else words}: with text.dictionary="
                f"{self.dictionary} expected speech_commands or a list of words such as [up,down]; "
                "null (every word) needs text.dictionary=cmu."
            )
        chosen = SPEECH_COMMANDS if isinstance(words, str) else self._checked(words)
        lexicon = {word: self._pronunciations(word) for word in chosen}
        unknown = [word for word, variants in lexicon.items() if not variants]
        if unknown:
            raise self._not_in_dictionary(unknown, "text.words")
        _warn_of_homophones(lexicon)
        return lexicon

    def _checked(self, words: Iterable[str]) -> list[str]:
        words = list(words)
        for word in words:
            if not isinstance(word, str) or not word.strip():
                raise UserError(
                    f"text.words: {word!r} is not a word. YAML reads yes, no, on, off and numbers "
                    "as values; put them in quotes."
                )
        if not words:
            raise UserError("text.words is an empty list; name at least one word.")
        return [self.normalise(word) for word in words]

    def _unknown(self, words: list[str], where: str) -> UserError:
        if self.lexicon is None:
            return self._not_in_dictionary(words, where)
        return UserError(
            f"{where}: the lexicon has no {_named(words)}; its {len(self.lexicon)} words are "
            f"{', '.join(list(self.lexicon)[:40])}. Add to text.words, or take "
            "text=phonemes_cmu_open for any word of the CMU dictionary."
        )

    def _not_in_dictionary(self, words: list[str], where: str) -> UserError:
        guessing = "text.guess=true, which guesses, or " if self.dictionary == "cmu" else ""
        return UserError(
            f"{where}: the {self.dictionary} dictionary does not say how to pronounce "
            f"{_named(words)} with its {len(self.vocabulary) - 2} phonemes. Correct the spelling "
            f"(numbers as words), leave it out, or take {guessing}text=characters, which spells "
            "any word."
        )


def _named(words: list[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(words)))


def _warn_of_homophones(lexicon: dict[str, tuple[str, ...]]) -> None:
    said_by: dict[str, str] = {}
    for word, variants in lexicon.items():
        for variant in variants:
            first = said_by.setdefault(variant, word)
            if first != word:
                logger.warning(
                    "%s and %s are both pronounced %s: no phoneme model can tell them apart.",
                    *(first, word, variant),
                )
