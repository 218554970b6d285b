"""The words that tokens spell: of each homophone every choice, the likeliest sentences first."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src.decoders.fusion import FORBIDDEN, TokenFusion, end_of_sentence, weighted
from src.decoders.lexicon import ROOT
from src.decoders.word_fusion import Ended, WordFusion

NOTHING = -1  # in place of a token, after the last
NO_WORD = -2  # where a text had none; −1 is one that the lexicon lacks


class Reading(NamedTuple):
    """One sentence that tokens may spell."""

    words: tuple[int, ...]  # numbers in the lexicon; −1 for a word that it lacks
    score: float  # what fusion adds to the text for it
    log_prob: float  # of the language model, natural log, unweighted


def read_words(
    fusion: WordFusion, texts: Sequence[Sequence[int]], n: int, n_told: int
) -> list[list[Reading]]:
    """The `n_told` likeliest readings of each text, best first.

    With n = 1 each word is the likeliest after those before it; with more, words to come have a
    say, as the best n sentences are kept from word to word. Where a text breaks off within a word,
    that is a word that the lexicon lacks.
    """
    if not texts:
        return []
    beam = _Beam.empty(fusion, len(texts), n)
    for tokens in _columns(texts, fusion.children.device):
        beam.read(tokens)
    return beam.readings(n_told)


class _Beam:
    """The best sentences of each text so far."""

    def __init__(self, fusion: WordFusion, nodes: Tensor, contexts: Tensor) -> None:
        self.fusion, self.nodes, self.contexts = fusion, nodes, contexts  # (N,), (N, n)
        self.scores = torch.full(contexts.shape, FORBIDDEN, device=nodes.device)
        self.scores[:, 0] = 0.0
        self.log_probs = torch.zeros(contexts.shape, device=nodes.device)
        self.steps: list[tuple[Tensor, Tensor, Tensor]] = []  # rows, origins and words then

    @classmethod
    def empty(cls, fusion: WordFusion, n_texts: int, n: int) -> "_Beam":
        """Nothing read yet."""
        nodes = torch.full((n_texts,), ROOT, device=fusion.children.device)
        return cls(fusion, nodes, torch.full((n_texts, n), fusion.model.start()).to(nodes))

    def read(self, tokens: Tensor) -> None:
        """Go on by one token (N,) of each text; a word may end before it."""
        fusion = self.fusion
        is_over = tokens == NOTHING
        tokens = tokens.clamp(min=0)
        has_begun = (self.nodes != ROOT) & (self.nodes != fusion.bare)
        ends = (is_over | fusion.divides.take(tokens)) & has_begun
        if len(rows := ends.nonzero().squeeze(1)):
            self._end_words(rows)
        after = fusion.children.take(self.nodes * fusion.n_tokens + tokens).long()
        self.nodes = torch.where(is_over, ROOT, after)

    def readings(self, n: int) -> list[list[Reading]]:
        """The best `n` that were kept, with what the end of the sentence adds."""
        end = end_of_sentence(self.fusion.model, self.contexts)
        scores = self.scores + weighted(self.fusion.weight, end)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        scores, order = scores[:, :n], order[:, :n]
        log_probs = (self.log_probs + end).gather(1, order)
        words = self._words(order)
        return [
            [
                Reading(tuple(word for word in line if word != NO_WORD), score, log_prob)
                for line, score, log_prob in zip(*text, strict=True)
                if score > FORBIDDEN
            ]
            for text in zip(words, scores.tolist(), log_probs.tolist(), strict=True)
        ]

    def _end_words(self, rows: Tensor) -> None:
        nodes, contexts = self.nodes[rows], self.contexts[rows]
        found = self.fusion.ending(nodes[:, None].expand(contexts.shape), contexts)
        found = _or_broken_off(found, contexts)
        scores = self.scores[rows] + found.scores  # (H, rows, n)
        n = scores.shape[2]
        scores, places = scores.transpose(0, 1).flatten(1).topk(n, dim=1)  # place = h · n + origin
        origins = places % n

        def chosen(x: Tensor) -> Tensor:
            return x.transpose(0, 1).flatten(1).gather(1, places)

        self.scores[rows] = scores
        self.log_probs[rows] = self.log_probs[rows].gather(1, origins) + chosen(found.log_probs)
        self.contexts[rows] = chosen(found.contexts)
        self.steps.append((rows, origins, chosen(found.words)))

    def _words(self, order: Tensor) -> list[list[list[int]]]:
        """Words of the readings at `order` (N, n), step by step."""
        lines = []
        for rows, origins, words in reversed(self.steps):
            line = torch.full_like(order, NO_WORD)
            line[rows] = words.gather(1, order[rows])
            order = order.clone()
            order[rows] = origins.gather(1, order[rows])
            lines.append(line)
        if not lines:
            return [[[] for _ in text] for text in order.tolist()]
        return torch.stack(lines[::-1], dim=2).tolist()


def _or_broken_off(found: Ended, contexts: Tensor) -> Ended:
    """Where no word ends in a node, a text has broken off there: one that the lexicon lacks, which
    adds nothing."""
    broken = (found.scores == FORBIDDEN).all(0)  # (rows, n)
    first = torch.zeros_like(found.words, dtype=torch.bool)
    first[0] = broken
    return Ended(
        found.scores.masked_fill(first, 0.0),
        found.log_probs.masked_fill(first, 0.0),
        torch.where(first, contexts, found.contexts),
        found.words.masked_fill(first, -1),
    )


def token_log_probs(fusion: TokenFusion, texts: Sequence[Sequence[int]]) -> list[float]:
    """The natural log that the language model gives each text and its end."""
    device = fusion.words.device
    states = torch.full((len(texts),), fusion.model.start(), device=device)
    total = torch.zeros(len(texts), device=device)
    for tokens in _columns(texts, device):
        is_over = tokens == NOTHING
        scores, after = fusion.model.score(states, fusion.words[tokens.clamp(min=0)])
        total += scores.masked_fill(is_over, 0.0)
        states = torch.where(is_over, states, after)
    return (total + end_of_sentence(fusion.model, states)).tolist()


def _columns(texts: Sequence[Sequence[int]], device: torch.device) -> list[Tensor]:
    """Tokens of all texts, place by place, and one column more; `NOTHING` after the last."""
    longest = max(map(len, texts), default=0)
    padded = [[*tokens, *[NOTHING] * (longest + 1 - len(tokens))] for tokens in texts]
    return list(torch.tensor(padded, device=device).T.contiguous())
