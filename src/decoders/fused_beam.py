"""Prefix beam search with a language model: shallow fusion, chosen by a file's name."""

import math
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import torch

from src.batch import Hypothesis
from src.decoders.fusion import TokenFusion
from src.decoders.lexicon_file import read_lexicon
from src.decoders.prefix_beam import PrefixBeam, check_whole
from src.decoders.rescoring import N_CHOICES, Rescorer, best_first, read
from src.decoders.word_fusion import WordFusion
from src.decoders.word_list import WordList, check_units, spelt_by_letters
from src.language_models import BOS, EOS, UNK, NGram
from src.language_models.grams import SPACE
from src.text import Vocabulary
from src.text.bpe import WORD_START
from src.text.words_within import spell_words
from src.utils.errors import UserError

LM_WEIGHT, BONUS = 0.8, 1.0  # where nobody has tuned them
SHARE = 0.5  # of the neural model


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
        rescorer: a neural language model from scripts.train_neural_lm, which judges whole readings
            at the end of the search (see `Rescorer`); None = only the n-gram model does.
        rescorer_share: of lm_weight, 0 … 1: what it takes from the n-gram model.
        n_rescored: readings that it judges, the best before it; at least n_best.

    Raises:
        UserError: no language model, one that shares no word with the vocabulary, one of letters
            or pieces that are not the vocabulary's, an impossible weight, or a rescorer where
            nothing spells words.
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
        rescorer: str | Path | None = None,
        rescorer_share: float = SHARE,
        n_rescored: int = 32,
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
                "decoder.language_model is null; name a file, or put one beside the checkpoint "
                "(best.arpa.gz beside best.pt): python -m scripts.train_lm estimates one from "
                "text, an ARPA file does as well."
            )
        weight = LM_WEIGHT if lm_weight is None else lm_weight
        bonus = BONUS if bonus is None else bonus
        hotwords = {} if hotwords is None else hotwords
        _check_weights(weight, bonus, hotwords, unknown)
        model = NGram.load(language_model)
        self.rescorer = None
        _check_share(rescorer_share)
        check_whole("n_rescored", n_rescored, "at least 1 reading is judged", 32)
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
        else:
            spellings = (
                read_lexicon(lexicon, vocabulary)
                if lexicon
                else spelt_by_letters(model, vocabulary, hotwords)
            )
            check_units(model, spellings if lexicon else (), vocabulary)
            words = WordList.of(model, vocabulary, spellings, hotwords, unknown)
            self.fusion = WordFusion(words, model, weight, bonus)
            self.words = tuple(spellings) if lexicon else ()
        if rescorer is not None:
            self._let_judge(rescorer, rescorer_share, n_rescored)

    def _let_judge(self, rescorer: str | Path, share: float, n: int) -> None:
        if not self.words and not spell_words(self.vocabulary.symbols):
            raise UserError(
                f"decoder.rescorer={rescorer} judges words, but this model writes "
                f"{self.vocabulary.describe()}; name a decoder.lexicon that reads words in them."
            )
        self.rescorer = Rescorer(rescorer, share, max(self.n_best, n))
        self.rescorer.check("".join(self.words or self.vocabulary.symbols[1:]))
        self.n_judged = max(self.n_best, min(n, self.beam_width))

    def judged(self, n_bests: list[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """See `PrefixBeam`: words that a lexicon reads, and what the neural model says of them."""
        if not self.words and not self.rescorer:
            return n_bests
        found = read(self.fusion, self.words, n_bests, N_CHOICES if self.rescorer else 1)
        if self.rescorer:
            self.rescorer.model.to(self.fusion.model.keys.device)
            return self.rescorer([list(chain(*n_best)) for n_best in found], self.fusion.weight)
        return [best_first(readings[0][0] for readings in n_best) for n_best in found]


def _check_share(share: float) -> None:
    if isinstance(share, bool) or not _is_finite(share) or not 0 <= share <= 1:
        raise UserError(f"decoder.rescorer_share is {share}; expected a number from 0 to 1.")


def _check_weights(
    weight: float, bonus: float, hotwords: Mapping[str, float], unknown: float | None
) -> None:
    if not isinstance(hotwords, Mapping):
        raise UserError(
            f"decoder.hotwords is {hotwords}; expected words and numbers, such as "
            "{kubernetes: 4.0}, or null."
        )
    if strange := [word for word in hotwords if not isinstance(word, str)]:
        raise UserError(  # YAML takes true and 1 for values, and a command line allows no quotes
            f"decoder.hotwords: {strange[0]} is no text; put it in quotes in a config file, or "
            "write ++decoder.hotwords.WORD=4.0 on the command line."
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
    of_pieces = any(WORD_START in symbol for symbol in vocabulary.symbols)
    if of_pieces and not any(WORD_START in word for word in model.words):
        raise UserError(
            "The language model is one of letters and has no piece that begins a word, but this "
            f"model writes {vocabulary.describe()}; estimate one of these pieces (scripts.train_lm "
            "--unit piece --bpe MODEL), or one of words."
        )
    names = [SPACE if symbol == " " else symbol for symbol in vocabulary.symbols]
    words = [model.find(name) for name in names]
    return TokenFusion(model, torch.tensor(words), weight, bonus)
