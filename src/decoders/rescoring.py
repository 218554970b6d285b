"""A second pass: another language model's opinion of the best readings of a beam.

Source: Mikolov et al. 2010, "Recurrent neural network based language model", section 3, which
rescores n-best lists of an n-gram system, the two models interpolated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from src.batch import Hypothesis
from src.decoders.fusion import FORBIDDEN, TokenFusion
from src.decoders.readings import Reading, read_words, token_log_probs
from src.decoders.word_fusion import WordFusion
from src.language_models import UNK, NeuralLM
from src.text.bpe import Pieces
from src.text.characters import BLANK
from src.utils.errors import UserError

Judged = tuple[Hypothesis, float]  # with the n-gram model's natural log, unweighted
N_CHOICES = 8  # sentences of homophones that one text of phonemes may stand for
STRANGE = -20.0  # natural log for a sign that the neural model can't write


class Rescorer:
    """Gives a neural language model a share of the n-gram model's say.

    score = acoustic + lm_weight · ((1 − share) · log p_ngram + share · log p_neural) + bonus · n

    Args:
        path: a file from scripts.train_neural_lm.
        share: 0 … 1.
        n: readings of an utterance that are judged, the best ones; the others are left out.

    Raises:
        UserError: the file can't be read, or the share is none.
    """

    def __init__(self, path: str | Path, share: float, n: int) -> None:
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UserError(f"decoder.rescorer_share is {share}; expected a number from 0 to 1.")
        self.model, self.share, self.n = NeuralLM.load(path), share, n
        self._pieces = Pieces((BLANK, *self.model.pieces))
        self._index = {piece: i for i, piece in enumerate(self._pieces.symbols) if i}

    def __call__(self, judged: list[list[Judged]], weight: float) -> list[list[Hypothesis]]:
        """The hypotheses of each utterance, best first.

        Args:
            judged: of each utterance at least one.
            weight: lm_weight.
        """
        judged = [sorted(some, key=lambda pair: -pair[0].score)[: self.n] for some in judged]
        texts = list(dict.fromkeys(text_of(h) for readings in judged for h, _ in readings))
        logs = dict(zip(texts, self.log_probs(texts), strict=True))
        share = self.share * weight
        rescored = [
            [_with(h, share * (logs[text_of(h)] - before)) for h, before in readings]
            for readings in judged
        ]
        return [best_first(n_best) for n_best in rescored]

    def log_probs(self, texts: Sequence[str]) -> list[float]:
        """The neural model's natural log of each text and its end."""
        pieces = [self._pieces.split(text) for text in texts]
        strange = [sum(piece not in self._index for piece in some) for some in pieces]
        known = [[self._index[piece] for piece in some if piece in self._index] for some in pieces]
        scores = self.model.score(known).tolist()
        return [log + STRANGE * n for log, n in zip(scores, strange, strict=True)]


def text_of(hypothesis: Hypothesis) -> str:
    """The words that it says."""
    return hypothesis.text if hypothesis.words is None else " ".join(hypothesis.words)


def read(
    fusion: TokenFusion | WordFusion, words: Sequence[str], n_bests: list[list[Hypothesis]]
) -> list[list[list[Judged]]]:
    """Of each hypothesis its likeliest readings, best first; only one where tokens spell the words.

    Args:
        words: of the lexicon; none where there is none.
    """
    flat = [h for n_best in n_bests for h in n_best]
    texts = [h.tokens for h in flat]
    if isinstance(fusion, TokenFusion):
        found = [[(h, log)] for h, log in zip(flat, token_log_probs(fusion, texts), strict=True)]
    else:
        readings = read_words(fusion, texts, N_CHOICES if words else 1)
        found = [_readings(h, some, words) for h, some in zip(flat, readings, strict=True)]
    found = iter(found)
    return [[next(found) for _ in n_best] for n_best in n_bests]


def best_first(n_best: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Sorted by score; equals stay in their order."""
    return sorted(n_best, key=lambda hypothesis: -hypothesis.score)


def _readings(
    hypothesis: Hypothesis, readings: list[Reading], words: Sequence[str]
) -> list[Judged]:
    """The hypothesis once for each of its readings."""
    if not readings or hypothesis.acoustic is None:  # nothing is possible
        return [(replace(hypothesis, words=_named((), words)), 0.0)]
    return [
        (
            replace(
                hypothesis,
                words=_named(reading.words, words),
                language=reading.score,
                score=hypothesis.acoustic + reading.score,
            ),
            reading.log_prob,
        )
        for reading in readings
    ]


def _named(numbers: Sequence[int], words: Sequence[str]) -> tuple[str, ...] | None:
    """None where there is no lexicon."""
    if not words:
        return None
    return tuple(words[number] if number >= 0 else UNK for number in numbers)


def _with(hypothesis: Hypothesis, more: float) -> Hypothesis:
    """The hypothesis with `more` from language models."""
    if hypothesis.language is None or hypothesis.score == FORBIDDEN:
        return hypothesis
    return replace(hypothesis, score=hypothesis.score + more, language=hypothesis.language + more)
