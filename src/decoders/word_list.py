"""The words that a language model of words lets come out, and how a vocabulary spells them."""

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from src.decoders.lexicon import NOTHING, PrefixTree
from src.language_models import BOS, EOS, SPACE, UNK, NGram
from src.text import Vocabulary
from src.text.bpe import WORD_START
from src.text.words_within import BOUNDARIES, spell_words
from src.utils.errors import UserError

logger = logging.getLogger(__name__)

NEARLY_ALL = 0.9  # of a model's units
MOST_PIECES = 0.1  # units with "▁" in a model of words; in one of pieces more of them begin words

Spellings = Mapping[str, list[tuple[int, ...]]]  # token indices, of each pronunciation one


@dataclass(frozen=True)
class WordList:
    """What `WordFusion` knows of its words; their numbers are their places here.

    Attributes:
        tree: their spellings.
        in_model: (n words,) int64, the language model's index of each; −1 where it knows none.
        boosts: (n words,) natural logs added where one occurs.
        shares: (n words,) natural logs added to the language model's, as where many words that
            it lacks share the probability of <unk>.
        unknown: natural log added for each word that is not listed, which the language model takes
            for <unk>; None = no such word.
        boundary: token between words; None = there is none.
        begins: tokens that begin a word, as pieces with "▁" do, where none stands between words.
        bare: the one of these that is no word by itself, "▁"; the tree has it. None = there is
            none.
    """

    tree: PrefixTree
    in_model: Tensor
    boosts: Tensor
    shares: Tensor
    unknown: float | None
    boundary: int | None
    begins: tuple[int, ...]
    bare: int | None

    @classmethod
    def of(
        cls,
        model: NGram,
        vocabulary: Vocabulary,
        spellings: Spellings,
        hotwords: Mapping[str, float],
        unknown: float | None,
    ) -> "WordList":
        """The words of `spellings`, those that the model lacks sharing its <unk>.

        Raises:
            UserError: the model and the spellings share no word, a hotword can't be spelt or has
                no probability, `unknown` has none, or the vocabulary doesn't divide words.
        """
        _check_words(model, spellings, hotwords, unknown, vocabulary)
        symbols = vocabulary.symbols
        boundary = next((symbols.index(b) for b in BOUNDARIES if b in symbols), None)
        begins = tuple(i for i, symbol in enumerate(symbols) if symbol.startswith(WORD_START))
        if boundary is None and not begins:
            raise UserError(
                f"This model's vocabulary has no symbol between words ({vocabulary.describe()}), "
                "so a language model of words can't be used."
            )
        pairs = [(tokens, i) for i, word in enumerate(spellings) for tokens in spellings[word]]
        bare = symbols.index(WORD_START) if boundary is None and WORD_START in symbols else None
        if bare is not None:
            pairs.append(((bare,), NOTHING))
        strangers = {word for word in spellings if word not in model.index} - set(hotwords)
        share = -math.log(max(1, len(strangers)))
        return cls(
            tree=PrefixTree(*zip(*pairs, strict=True), len(vocabulary)),
            in_model=torch.tensor([model.find(word) for word in spellings]),
            boosts=torch.tensor([float(hotwords.get(word, 0.0)) for word in spellings]),
            shares=torch.tensor([share if word in strangers else 0.0 for word in spellings]),
            unknown=unknown,
            boundary=boundary,
            begins=begins,
            bare=bare,
        )


def spelt_by_letters(
    model: NGram, vocabulary: Vocabulary, hotwords: Mapping[str, float]
) -> Spellings:
    """The words of the model, and those to prefer, as far as the vocabulary can spell them."""
    if not spell_words(vocabulary.symbols):
        raise UserError(
            f"This model's vocabulary has no space ({vocabulary.describe()}), so no letters spell "
            "words: name a lexicon with decoder.lexicon=FILE (python -m scripts.write_lexicon), or "
            "use a language model of its own symbols."
        )
    letters = {symbol for symbol in vocabulary.symbols[1:] if len(symbol) == 1}
    letters -= {" ", WORD_START}
    words = dict.fromkeys([*model.words, *hotwords])
    return {
        word: [vocabulary.encode(word)]
        for word in words
        if word not in (BOS, EOS, UNK) and set(word) <= letters
    }


def check_units(model: NGram, lexicon: Collection[str], vocabulary: Vocabulary) -> None:
    """Refuse a model of letters, or of pieces, that would be taken for one of words.

    Args:
        lexicon: the words it lists; empty where there is none.
    """
    units = set(model.words) - {BOS, EOS, UNK}
    pieces = [unit for unit in units if WORD_START in unit]
    # Whoever spells aloud says words of one letter; then the lexicon lists them.
    of_letters = SPACE in units or (_single(units) and not (lexicon and _single(lexicon)))
    if of_letters or len(pieces) > MOST_PIECES * len(units):
        raise UserError(
            f"The language model is one of {'letters' if of_letters else 'pieces'}, not all of "
            f"which this model writes ({vocabulary.describe()}), so its "
            "words can't be read; estimate one of words with scripts.train_lm, or one of this "
            "model's own symbols."
        )


def _single(words: Collection[str]) -> bool:
    """Whether words are (nearly) all of one letter."""
    return sum(len(word) > 1 for word in words) <= (1 - NEARLY_ALL) * len(words)


def _check_words(
    model: NGram,
    spellings: Spellings,
    hotwords: Mapping[str, float],
    unknown: float | None,
    vocabulary: Vocabulary,
) -> None:
    """Refuse words that can't meet; tell how many can't come out."""
    known = [word for word in spellings if word in model.index]
    if not known:
        raise UserError(
            "The language model has no word that can be spelt with the vocabulary "
            f"({vocabulary.describe()}) or that the lexicon lists; was it trained on upper case?"
        )
    if strangers := sorted(set(hotwords) - set(spellings)):
        raise UserError(
            f"decoder.hotwords: {', '.join(map(repr, strangers))} can't be spelt with "
            f"{vocabulary.describe()}, or the lexicon lacks it."
        )
    if unlisted := sorted(word for word in hotwords if model.find(word) < 0):
        raise UserError(
            f"decoder.hotwords: the language model lists no {', '.join(map(repr, unlisted))}, and "
            f"has no {UNK} that they could count as; estimate the model with scripts.train_lm."
        )
    if unknown is not None and model.find(UNK) < 0:
        raise UserError(
            f"decoder.unknown is {unknown}, but the language model has no {UNK} that would say how "
            "likely other words are; set it to null, or estimate the model with scripts.train_lm."
        )
    silent = len(set(model.words) - {BOS, EOS, UNK}) - len(known)
    if silent:
        logger.warning(
            "%s of the language model's words have no spelling and can't come out.", f"{silent:,}"
        )
