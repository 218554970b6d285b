"""Lexicons as files: a word and its spelling in the model's symbols on each line."""

from pathlib import Path

from src.decoders.emissions import BLANK
from src.language_models import lines
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
        UserError: no such file, damaged, not UTF-8, a word without symbols, a symbol that the
            vocabulary lacks or that divides words, pieces that do not begin a word as "▁" says or
            spell none, or no word at all.
    """
    if not Path(path).exists():
        raise UserError(
            f"decoder.lexicon={path}: no such file; python -m scripts.write_lexicon makes one."
        )
    symbols = enumerate(vocabulary.symbols)
    numbers = {symbol: i for i, symbol in symbols if i != BLANK and symbol not in BOUNDARIES}
    in_pieces = WORD_START in numbers
    spellings: dict[str, list[tuple[int, ...]]] = {}
    for number, line in enumerate(lines([Path(path)]), 1):
        if not (fields := line.split()):
            continue
        word, *symbols = fields
        where = f"{path}, line {number}"
        if not symbols:
            raise UserError(
                f"{where}: {word!r} has no symbols; write them behind it, as in: {EXAMPLE}"
            )
        if strangers := [symbol for symbol in symbols if symbol not in numbers]:
            raise UserError(
                f"{where}: {word!r} is spelt with {', '.join(map(repr, strangers))}, which this "
                f"model does not write ({vocabulary.describe()})."
            )
        begin = [symbol.startswith(WORD_START) for symbol in symbols]
        if in_pieces and begin != [True] + [False] * (len(begin) - 1):
            raise UserError(
                f"{where}: spells {word!r} with pieces of which not the first, or not only the "
                f'first, begins with "{WORD_START}", as each word must.'
            )
        if symbols == [WORD_START]:
            raise UserError(
                f'{where}: spells {word!r} with "{WORD_START}" alone, which begins words and is '
                "none; add the pieces that follow it."
            )
        spellings.setdefault(word, []).append(tuple(numbers[symbol] for symbol in symbols))
    if not spellings:
        raise UserError(f"decoder.lexicon={path}: holds no word; a line looks like: {EXAMPLE}")
    return spellings
