"""Words as letters."""

from src.text.normaliser import Normaliser
from src.text.vocabulary import Vocabulary, shown
from src.utils.errors import UserError

BLANK = "<blank>"


class Characters:
    """Transcripts as character targets: "Don't!" → "don't".

    Args:
        symbols: the characters in token order; the blank is put before them as token 0.
        lower, keep_apostrophes, drop_punctuation: see Normaliser.
    """

    unit = "character"
    remedy = ", or add to text.symbols"  # what else to do where a character is unknown
    lexicon: dict[str, tuple[str, ...]] | None = None  # any word can be spelt

    def __init__(
        self,
        symbols: str = "' abcdefghijklmnopqrstuvwxyz",
        lower: bool = True,
        keep_apostrophes: bool = True,
        drop_punctuation: bool = True,
    ) -> None:
        self.vocabulary = Vocabulary((BLANK, *symbols))
        self.normalise = Normaliser(lower, keep_apostrophes, drop_punctuation)
        self._known = frozenset(symbols)

    def target(self, transcript: str) -> str:
        """The normalised transcript.

        Raises:
            UserError: characters outside the vocabulary, by name.
        """
        text = self.normalise(transcript)
        unknown = sorted(set(text) - self._known)
        if unknown:
            raise UserError(
                f"{shown(transcript)}: the vocabulary has no {', '.join(map(repr, unknown))}; it "
                f"knows {self.vocabulary.describe()}. Write the transcript with these (numbers and "
                f"signs as words){self.remedy}."
            )
        return text

    def encode(self, transcript: str) -> tuple[int, ...]:
        """Token indices of the normalised transcript; raises as `target` does."""
        return self.vocabulary.encode(self.target(transcript))
