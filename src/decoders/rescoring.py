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
from src.text.bpe import WORD_START, Pieces
from src.text.characters import BLANK
from src.utils.errors import UserError

Judged = tuple[Hypothesis, float]  # with the n-gram model's natural log, unweighted
N_CHOICES = 8  # sentences of homophones that one text of phonemes may stand for
STRANGE = -20.0  # natural log for a sign that the neural model can't write


class Rescorer:
    """Gives a neural language model a share of the n-gram model's say.

    Of a reading with a word that nobody spells, <unk>, it has no opinion.

    score = acoustic + lm_weight · ((1 − share) · log p_ngram + share · log p_neural) + bonus · n

    Args:
        path: a file from scripts.train_neural_lm.
        share: 0 … 1.
        n: readings of an utterance that are judged, the best ones; the others are left out.

    Raises:
        UserError: the file can't be read.
    """

    def __init__(self, path: str | Path, share: float, n: int) -> None:
        self.path, self.share, self.n = path, share, n
        self.model = NeuralLM.load(path)
        try:
            self._pieces = Pieces((BLANK, *self.model.pieces))
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        self._index = {piece: i for i, piece in enumerate(self._pieces.symbols) if i}

    def check(self, letters: Iterable[str]) -> None:
        """Refuse to judge texts in `letters` of which no piece is made.

        Raises:
            UserError: no piece has any of them.
        """
        letters = {letter for letter in letters if letter not in (" ", WORD_START)}
        if not letters & set("".join(self.model.pieces)):
            raise UserError(
                f"decoder.rescorer={self.path}: its pieces have none of the letters of this "
                f"model's words ({' '.join(sorted(letters)[:26])}); was it trained on upper case?"
            )

    def __call__(self, judged: list[list[Judged]], weight: float) -> list[list[Hypothesis]]:
        """The hypotheses of each utterance, best first.

        Args:
            judged: of each utterance at least one.
            weight: lm_weight.
        """
        judged = [sorted(some, key=lambda pair: -pair[0].score)[: self.n] for some in judged]
        told = (h for readings in judged for h, _ in readings if UNK not in (h.words or ()))
        texts = list(dict.fromkeys(h.sentence for h in told))
        logs = dict(zip(texts, self.log_probs(texts), strict=True))
        share = self.share * weight
        rescored = [
            [_with(h, share * (logs.get(h.sentence, before) - before)) for h, before in readings]
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


def read(
    fusion: TokenFusion | WordFusion,
    words: Sequence[str],
    n_bests: list[list[Hypothesis]],
    n_told: int,
) -> list[list[list[Judged]]]:
    """Of each hypothesis its likeliest readings, best first; only one where tokens spell the words.

    Args:
        words: of the lexicon; none where there is none.
        n_told: at most so many readings.
    """
    flat = [h for n_best in n_bests for h in n_best]
    texts = [h.tokens for h in flat]
    if isinstance(fusion, TokenFusion):
        found = [[(h, log)] for h, log in zip(flat, token_log_probs(fusion, texts), strict=True)]
    else:
        readings = read_words(fusion, texts, N_CHOICES if words else 1, n_told)
        found = [
            _readings(h, some, words, fusion.is_open)
            for h, some in zip(flat, readings, strict=True)
        ]
    found = iter(found)
    return [[next(found) for _ in n_best] for n_best in n_bests]


def best_first(n_best: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Sorted by score; equals stay in their order."""
    return sorted(n_best, key=lambda hypothesis: -hypothesis.score)


def _readings(
    hypothesis: Hypothesis, readings: list[Reading], words: Sequence[str], is_open: bool
) -> list[Judged]:
    """The hypothesis once for each of its readings."""
    first = readings[0]
    # Where no text is possible, or this one breaks off within a word, it keeps the score it has.
    if hypothesis.acoustic is None or (not is_open and -1 in first.words):
        return [(replace(hypothesis, words=_named(first.words, words)), first.log_prob)]
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
