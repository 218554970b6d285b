"""How well a model foresees a text."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from src.language_models.grams import EOS, UNK
from src.language_models.ngram import NGram

TOGETHER = 1000  # sentences scored at once


@dataclass
class Perplexity:
    """Sums over a text; the ends of its sentences count as words.

    Attributes:
        n_words: words and ends of sentences.
        n_unknown: words that the model does not know.
        log_prob: natural log of all together, unknown ones as <unk>.
        unknown_log_prob: the unknown words' part in it.
    """

    n_sentences: int = 0
    n_words: int = 0
    n_unknown: int = 0
    log_prob: float = 0.0
    unknown_log_prob: float = 0.0

    def whole(self) -> float:
        """The perplexity, unknown words counted as <unk>."""
        return math.exp(-self.log_prob / self.n_words) if self.n_words else math.nan

    def known(self) -> float:
        """The perplexity of known words only; unknown ones stay in their contexts."""
        n_known = self.n_words - self.n_unknown
        log_prob = self.log_prob - self.unknown_log_prob
        return math.exp(-log_prob / n_known) if n_known else math.nan


def perplexity(model: NGram, sentences: Iterable[Sequence[str]]) -> Perplexity:
    """Score sentences, each without <s> and </s>."""
    found, remaining = Perplexity(), iter(sentences)
    while some := list(islice(remaining, TOGETHER)):
        _add(found, model, some)
    return found


def _add(found: Perplexity, model: NGram, sentences: list[Sequence[str]]) -> None:
    lengths = torch.tensor([len(sentence) + 1 for sentence in sentences])
    words = torch.full((len(sentences), int(lengths.max())), -1)
    for row, sentence in zip(words, sentences, strict=True):
        row[: len(sentence) + 1] = torch.tensor([*map(model.find, sentence), model.find(EOS)])
    states = torch.full((len(sentences),), model.start())
    for t in range(words.shape[1]):
        scores, states = model.score(states, words[:, t])
        unknown = words[:, t] == model.index.get(UNK, -1)
        scores, is_word = scores.double(), lengths > t
        found.log_prob += float(scores[is_word].sum())
        found.unknown_log_prob += float(scores[unknown & is_word].sum())
        found.n_unknown += int((unknown & is_word).sum())
    found.n_sentences += len(sentences)
    found.n_words += int(lengths.sum())
