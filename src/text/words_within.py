"""Words within tokens, whether something stands between them or pieces begin them."""

from collections.abc import Callable, Container, Sequence

from src.text.bpe import WORD_START, piece_confidence, piece_spans
from src.text.phonemes import WORD_BOUNDARY
from src.utils.words import word_confidence, word_spans

BOUNDARIES = (" ", WORD_BOUNDARY)  # symbols that stand between words: of characters, of phonemes


def spell_words(symbols: Container[str]) -> bool:
    """Whether the symbols of a vocabulary spell words by themselves: letters with a space between
    words, or pieces that begin them; phonemes need a lexicon for it."""
    return " " in symbols or WORD_START in symbols


def words_within(
    symbols: Sequence[str], pieces: bool, boundaries: Container[str] = BOUNDARIES
) -> tuple[list[tuple[int, int]], Callable[[Sequence[float], int, int], float]]:
    """Of each word its first token and the one after its last; and what tells from the confidences
    of all tokens, and these two, how sure a word is.

    Args:
        symbols: of each token.
        pieces: "▁" at the beginning of a symbol begins a word.
        boundaries: otherwise, symbols that stand between words.
    """
    if pieces:
        return piece_spans(symbols), piece_confidence
    return word_spans([symbol in boundaries for symbol in symbols]), word_confidence
