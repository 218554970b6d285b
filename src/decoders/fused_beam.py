"""Prefix beam search with a language model: shallow fusion, chosen by a file's name."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from src.batch import Hypothesis
from src.decoders.fusion import TokenFusion
from src.decoders.lexicon import PrefixTree
from src.decoders.lexicon_file import read_lexicon
from src.decoders.prefix_beam import PrefixBeam
from src.decoders.word_fusion import WordFusion
from src.language_models import BOS, EOS, UNK, NGram
from src.language_models.grams import SPACE
from src.text import Vocabulary
from src.text.bpe import WORD_START
from src.text.words_within import BOUNDARIES, spell_words
from src.utils.errors import UserError

logger = logging.getLogger(__name__)

LM_WEIGHT, BONUS = 0.8, 1.0  # where nobody has tuned them


class FusedBeam(PrefixBeam):
    """As `PrefixBeam`, where an n-gram model has its say in every prefix.

    A text y of n units scores log p(y | audio) + lm_weight · log p(y) + bonus · n, all in natural
    logs. Where the model's units are the vocabulary's own symbols, any text may come out; where
    they are words, only its words may, spelt in the vocabulary and parted by spaces (by the
    symbol "|" where these are phonemes; by nothing where pieces begin with "▁").

    Args:
        vocabulary, beam_width, n_best, token_threshold, blank_threshold, n_tokens, mbr_scale: see
            `PrefixBeam`.
        language_model: a file from scripts.train_lm, or an ARPA file.
        lm_weight: of the language model's natural logs, from 0; None = 0.8.
        bonus: natural log, added for each unit: each further word makes a text less likely, and
            without it too few would come out; None = 1.
        hotwords: word → natural log added where it occurs; for models of words only. A word that
            the model doesn't know is added to its list, and counts as <unk>.
        unknown: natural log added for each word that is not listed, however it is spelt; the model
            takes it for <unk>. For models of words only; None = no such word.
        lexicon: a file that lists words with their spellings in the vocabulary's symbols (see
            `read_lexicon`), for phonemes; its words may come out instead of the model's, and
            `Hypothesis.words` names them. Those that the model doesn't know share the probability
            of <unk> among them. None = words are spelt by their letters.

    Raises:
        UserError: no language model, one that shares no word with the vocabulary, or an
            impossible weight.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        language_model: str | Path | None = None,
        lm_weight: float | None = None,
        bonus: float | None = None,
        hotwords: Mapping[str, float] | None = None,
        unknown: float | None = None,
        lexicon: str | Path | None = None,
        beam_width: int = 32,
        n_best: int = 5,
        token_threshold: float | None = -8.0,
        blank_threshold: float | None = -0.001,
        n_tokens: int | None = 8,
        mbr_scale: float | None = None,
    ) -> None:
        super().__init__(
            vocabulary, beam_width, n_best, token_threshold, blank_threshold, n_tokens, mbr_scale
        )
        if language_model is None:
            raise UserError(
                "decoder.language_model is null; name a file: python -m scripts.train_lm estimates "
                "one from text, an ARPA file does as well."
            )
        weight = LM_WEIGHT if lm_weight is None else lm_weight
        bonus = BONUS if bonus is None else bonus
        hotwords = {} if hotwords is None else hotwords
        _check_weights(weight, bonus, hotwords, unknown)
        model = NGram.load(language_model)
        self.words: tuple[str, ...] = ()  # of the lexicon, where there is one
        of_words = {"lexicon": lexicon, "hotwords": hotwords or None, "unknown": unknown}
        given = [key for key, value in of_words.items() if value is not None]
        if set(model.words) - {BOS, EOS, UNK} <= {*vocabulary.symbols, SPACE} and not lexicon:
            if given:
                raise UserError(
                    f"decoder.{given[0]}: {language_model} is a model of single symbols, which "
                    "knows no words. Use a model of words."
                )
            self.fusion = _of_tokens(model, vocabulary, weight, bonus)
            return
        spellings = (
            read_lexicon(lexicon, vocabulary)
            if lexicon
            else _by_letters(model, vocabulary, hotwords)
        )
        _check_words(model, spellings, hotwords, unknown, vocabulary)
        self.fusion = _of_words(model, vocabulary, spellings, weight, bonus, hotwords, unknown)
        self.words = tuple(spellings) if lexicon else ()

    def with_words(self, hypothesis: Hypothesis) -> Hypothesis:
        """See `PrefixBeam`."""
        if not self.words:
            return hypothesis
        found = self.fusion.words_of(hypothesis.tokens)
        words = tuple(self.words[word] if word >= 0 else UNK for word in found)
        return replace(hypothesis, words=words)


def _check_weights(
    weight: float, bonus: float, hotwords: Mapping[str, float], unknown: float | None
) -> None:
    if not isinstance(hotwords, Mapping):
        raise UserError(
            f"decoder.hotwords is {hotwords}; expected words and numbers, such as "
            "{kubernetes: 4.0}, or null."
        )
    if not _is_finite(weight) or weight < 0:
        raise UserError(f"decoder.lm_weight is {weight}; expected a number from 0 up.")
    logs = {"bonus": bonus} | {f"hotwords.{word}": log for word, log in hotwords.items()}
    logs |= {} if unknown is None else {"unknown": unknown}
    for key, value in logs.items():
        if not _is_finite(value):
            raise UserError(f"decoder.{key} is {value}; expected a number, a natural log.")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _of_tokens(model: NGram, vocabulary: Vocabulary, weight: float, bonus: float) -> TokenFusion:
    names = [SPACE if symbol == " " else symbol for symbol in vocabulary.symbols]
    words = [model.find(name) for name in names]
    return TokenFusion(model, torch.tensor(words), weight, bonus)


def _by_letters(
    model: NGram, vocabulary: Vocabulary, hotwords: Mapping[str, float]
) -> dict[str, list[tuple[int, ...]]]:
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


def _check_words(
    model: NGram,
    spellings: Mapping[str, list[tuple[int, ...]]],
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


def _of_words(
    model: NGram,
    vocabulary: Vocabulary,
    spellings: Mapping[str, list[tuple[int, ...]]],
    weight: float,
    bonus: float,
    hotwords: Mapping[str, float],
    unknown: float | None,
) -> WordFusion:
    pairs = [(tokens, i) for i, word in enumerate(spellings) for tokens in spellings[word]]
    symbols = vocabulary.symbols
    boundary = next((symbols.index(b) for b in BOUNDARIES if b in symbols), None)
    begins = [i for i, symbol in enumerate(symbols) if symbol.startswith(WORD_START)]
    if boundary is None and not begins:
        raise UserError(
            f"This model's vocabulary has no symbol between words ({vocabulary.describe()}), so "
            "a language model of words can't be used."
        )
    strangers = {word for word in spellings if word not in model.index} - set(hotwords)
    share = -math.log(max(1, len(strangers)))
    return WordFusion(
        PrefixTree(*zip(*pairs, strict=True), len(vocabulary)),
        model,
        torch.tensor([model.find(word) for word in spellings]),
        boundary,
        begins,
        weight,
        bonus,
        torch.tensor([float(hotwords.get(word, 0.0)) for word in spellings]),
        unknown,
        torch.tensor([share if word in strangers else 0.0 for word in spellings]),
    )
