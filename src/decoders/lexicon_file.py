"""Lexicons as files: a word and its spelling in the model's symbols on each line."""

from pathlib import Path

from src.decoders.emissions import BLANK
from src.text import Vocabulary
from src.text.words_within import BOUNDARIES
from src.utils.errors import UserError

EXAMPLE = "down D AW N"


def read_lexicon(path: str | Path, vocabulary: Vocabulary) -> dict[str, list[tuple[int, ...]]]:
    """The spellings of each word; a word with several has as many lines.

    A line is a word, then its symbols, parted by spaces or tabs: "down D AW N". Empty lines are
    passed over.

    Raises:
        UserError: no such file, not UTF-8, a word without symbols, a symbol that the vocabulary
            lacks or that divides words, or no word at all.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(
            f"decoder.lexicon={path}: no such file; python -m scripts.write_lexicon makes one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"decoder.lexicon={path}: can't be read as UTF-8 text ({error})."
        ) from error
    symbols = enumerate(vocabulary.symbols)
    numbers = {symbol: i for i, symbol in symbols if i != BLANK and symbol not in BOUNDARIES}
    spellings: dict[str, list[tuple[int, ...]]] = {}
    for number, line in enumerate(lines, 1):
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
        spellings.setdefault(word, []).append(tuple(numbers[symbol] for symbol in symbols))
    if not spellings:
        raise UserError(f"decoder.lexicon={path}: holds no word; a line looks like: {EXAMPLE}")
    return spellings
