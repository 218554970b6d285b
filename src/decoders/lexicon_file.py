"""Lexicons as files: a word and its spelling in the model's symbols on each line."""

from pathlib import Path

from src.decoders.emissions import BLANK
from src.language_models import BOS, EOS, UNK, lines
from src.text import Vocabulary
from src.text.bpe import WORD_START
from src.text.words_within import BOUNDARIES
from src.utils.errors import UserError

EXAMPLE = "down D AW N"


def read_lexicon(path: str | Path, vocabulary: Vocabulary) -> dict[str, list[tuple[int, ...]]]:
    """The spellings of each word; a word with several has as many lines.

    A line is a word, then its symbols, parted by spaces or tabs: "down D AW N". Empty lines are
    passed over. The file may be plain, gzip or xz.

    Raises:
        UserError: no such file, damaged, not UTF-8, a sign of language models such as </s> for a
            word, a word without symbols, a symbol that the vocabulary lacks or that divides words,
            pieces that do not begin a word as "▁" says or spell none, or no word at all.
    """
    if not Path(path).exists():
        raise UserError(
            f"decoder.lexicon={path}: no such file; python -m scripts.write_lexicon makes one."
        )
    symbols = enumerate(vocabulary.symbols)
    numbers = {symbol: i for i, symbol in symbols if i != BLANK and symbol not in BOUNDARIES}
    spellings: dict[str, list[tuple[int, ...]]] = {}
    for number, line in enumerate(lines([Path(path)]), 1):
        if not (fields := line.split()):
            continue
        word, *symbols = fields
        spelling = _spelling(f"{path}, line {number}", word, symbols, numbers, vocabulary)
        spellings.setdefault(word, []).append(spelling)
    if not spellings:
        raise UserError(f"decoder.lexicon={path}: holds no word; a line looks like: {EXAMPLE}")
    return spellings


def _spelling(
    where: str, word: str, symbols: list[str], numbers: dict[str, int], vocabulary: Vocabulary
) -> tuple[int, ...]:
    """The `numbers` of the symbols of one line, or why they spell no word."""
    if word in (BOS, EOS, UNK):  # else </s> would be read aloud, as likely as sentences end
        raise UserError(
            f"{where}: {word!r} is no word, but a sign of language models; leave it out."
        )
    if not symbols:
        raise UserError(f"{where}: {word!r} has no symbols; write them behind it, as in: {EXAMPLE}")
    if strangers := [symbol for symbol in symbols if symbol not in numbers]:
        raise UserError(
            f"{where}: {word!r} is spelt with {', '.join(map(repr, strangers))}, which this "
            f"model does not write ({vocabulary.describe()})."
        )
    begin = [symbol.startswith(WORD_START) for symbol in symbols]
    if WORD_START in numbers and begin != [True] + [False] * (len(begin) - 1):
        raise UserError(
            f"{where}: spells {word!r} with pieces of which not the first, or not only the "
            f'first, begins with "{WORD_START}", as each word must.'
        )
    if symbols == [WORD_START]:
        raise UserError(
            f'{where}: spells {word!r} with "{WORD_START}" alone, which begins words and is '
            "none; add the pieces that follow it."
        )
    return tuple(numbers[symbol] for symbol in symbols)
