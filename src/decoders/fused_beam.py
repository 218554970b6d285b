"""Prefix beam search with a language model: shallow fusion, chosen by a file's name."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from src.decoders.fusion import TokenFusion, WordFusion
from src.decoders.lexicon import PrefixTree
from src.decoders.prefix_beam import PrefixBeam
from src.language_models import BOS, EOS, UNK, NGram
from src.language_models.grams import SPACE
from src.text import Vocabulary
from src.utils.errors import UserError

LM_WEIGHT, BONUS = 0.8, 1.0  # where nobody has tuned them


class FusedBeam(PrefixBeam):
    """As `PrefixBeam`, where an n-gram model has its say in every prefix.

    A text y of n units scores log p(y | audio) + lm_weight · log p(y) + bonus · n, all in natural
    logs. Where the model's units are the vocabulary's own symbols, any text may come out; where
    they are words, only its words may, spelt in the vocabulary and parted by spaces.

    Args:
        vocabulary, beam_width, n_best, token_threshold, blank_threshold, n_tokens, mbr_scale: see
            `PrefixBeam`.
        language_model: a file from scripts.train_lm, or an ARPA file.
        lm_weight: of the language model's natural logs, from 0; None = 0.8.
        bonus: natural log, added for each unit: each further word makes a text less likely, and
            without it too few would come out; None = 1.
        hotwords: word → natural log added where it occurs; for models of words only. A word that
            the model doesn't know is added to its list, and counts as <unk>.
        unknown: natural log added for each word that the model doesn't list, however it is spelt;
            the model takes it for <unk>. For models of words only; None = no such word.

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
        if set(model.words) - {BOS, EOS, UNK} <= {*vocabulary.symbols, SPACE}:
            if hotwords or unknown is not None:
                raise UserError(
                    f"decoder.{'hotwords' if hotwords else 'unknown'}: {language_model} is a model "
                    "of single symbols, which knows no words. Use a model of words."
                )
            self.fusion = _of_tokens(model, vocabulary, weight, bonus)
        else:
            self.fusion = _of_words(model, vocabulary, weight, bonus, hotwords, unknown)


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


def _of_words(
    model: NGram,
    vocabulary: Vocabulary,
    weight: float,
    bonus: float,
    hotwords: Mapping[str, float],
    unknown: float | None,
) -> WordFusion:
    if " " not in vocabulary.symbols:
        raise UserError(
            "This model's vocabulary has no space, so it writes no words: use a language model of "
            f"its own symbols ({vocabulary.describe()})."
        )
    letters = set(vocabulary.symbols[1:]) - {" "}
    listed = dict.fromkeys([*model.words, *hotwords])
    words = [word for word in listed if word not in (BOS, EOS, UNK) and set(word) <= letters]
    if not words:
        raise UserError(
            "The language model has no word that the vocabulary can spell "
            f"({vocabulary.describe()}); was it trained on upper case?"
        )
    if strangers := sorted(set(hotwords) - set(words)):
        raise UserError(
            f"decoder.hotwords: {', '.join(map(repr, strangers))} can't be spelt with "
            f"{vocabulary.describe()}."
        )
    if unknown is not None and model.find(UNK) < 0:
        raise UserError(
            f"decoder.unknown is {unknown}, but the language model has no {UNK} that would say how "
            "likely other words are; set it to null, or estimate the model with scripts.train_lm."
        )
    return WordFusion(
        PrefixTree([vocabulary.encode(word) for word in words], range(len(words)), len(vocabulary)),
        model,
        torch.tensor([model.find(word) for word in words]),
        vocabulary.symbols.index(" "),
        weight,
        bonus,
        torch.tensor([float(hotwords.get(word, 0.0)) for word in words]),
        unknown,
    )
