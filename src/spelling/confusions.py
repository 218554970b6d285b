"""What a model hears where something was said: taken from speech, put together for other texts."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.utils.errors import UserError

WRONG = 1.2  # how much more a substitution costs than its lack of posterior, so that gaps are found
# Utterances are sorted by the share of tokens misheard, and each text is made of one class, since a
# speaker who is hard to understand is so for a whole sentence.
HARDNESS = (0.02, 0.05, 0.1, 0.2, 1.0)  # the classes' upper limits
HOW_OFTEN = (0.22, 0.30, 0.28, 0.15, 0.05)
TINY = 1e-9
FEWEST = 30  # examples of a token in a class; where there are fewer, it is taken from all classes


class Example(NamedTuple):
    """How one token of one utterance was heard."""

    token: int
    start: int  # its first segment among those of the utterance
    n: int  # segments; 0 where nothing was heard, 2 where something was heard behind it


def heard_as(posteriors: np.ndarray, tokens: Sequence[int]) -> list[Example]:
    """The segments of each token, by the alignment of the least cost.

    A token in a segment costs 1.2 · (1 − its posterior), one that was not heard 1, and a segment
    where nothing was said 1 − the posterior of the blank.

    Args:
        posteriors: (S, V), of an utterance's segments.
        tokens: what was said, at least one.
    """
    n, m = len(posteriors), len(tokens)
    wrong = WRONG * (1 - posteriors[:, list(tokens)].astype(np.float64))
    surplus = np.cumsum(1 - posteriors[:, 0].astype(np.float64))
    surplus = np.concatenate([[0.0], surplus])  # of the first segments
    costs = np.zeros((m + 1, n + 1))  # of the first tokens and segments
    costs[0] = surplus
    for j in range(1, m + 1):
        row = costs[j - 1] + 1
        row[1:] = np.minimum(row[1:], costs[j - 1, :-1] + wrong[:, j - 1])
        # Then any number of segments without a token: a running minimum does all of them at once.
        costs[j] = np.minimum.accumulate(row - surplus) + surplus
    return _traced(costs, wrong, tokens)


def _traced(costs: np.ndarray, wrong: np.ndarray, tokens: Sequence[int]) -> list[Example]:
    """The path through the costs, backwards: each token with the segments behind it that are
    nobody's."""
    found, i = [], costs.shape[1] - 1
    for j in range(len(tokens), 0, -1):
        end = i
        # Segments behind the token, until the cost is that of it being heard, or not.
        while not (heard := i > 0 and _is(costs[j, i], costs[j - 1, i - 1] + wrong[i - 1, j - 1])):
            if i == 0 or _is(costs[j, i], costs[j - 1, i] + 1):
                break
            i -= 1
        i -= heard
        found.append(Example(tokens[j - 1], i, end - i))
    return found[::-1]


def _is(cost: float, other: float) -> bool:
    """Whether they are equal but for the rounding of sums in another order."""
    return abs(cost - other) < TINY


def _examples_of(posteriors: Tensor, tokens: Sequence[int], offset: int) -> np.ndarray:
    """(m, 5) int32, as `Confusions` takes them, of an utterance behind `offset` segments."""
    heard = heard_as(posteriors.numpy(), tokens)
    best = posteriors.argmax(1).tolist() if len(posteriors) else []
    wrong = [e.n > 0 and best[e.start] != e.token for e in heard]
    errors = sum(wrong) + sum(e.n == 0 for e in heard)
    hardness = int(np.searchsorted(HARDNESS, errors / len(tokens)))
    rows = [
        (e.token, offset + e.start, e.n, hardness, mistaken)
        for e, mistaken in zip(heard, wrong, strict=True)
    ]
    return np.array(rows, np.int32)


class Confusions:
    """Examples of how each token is heard, in classes of hardness.

    Args:
        posteriors: (n, V) float16, of all segments of all utterances.
        examples: (m, 5) int32: token, first segment, number of segments, class, 1 if mistaken.
    """

    def __init__(self, posteriors: Tensor, examples: Tensor) -> None:
        self.posteriors, self._examples = posteriors, examples.numpy()
        self._by_token = [self._of_class(hardness) for hardness in range(len(HARDNESS))]

    @classmethod
    def of(cls, utterances: Iterable[tuple[Tensor, Sequence[int]]]) -> "Confusions":
        """Of what was heard and said.

        Args:
            utterances: posteriors (S, V) of each one's segments, and the tokens that were said.

        Raises:
            UserError: no utterance holds a token.
        """
        segments, examples, n_segments = [], [], 0
        for posteriors, tokens in utterances:
            if len(tokens):
                examples.append(_examples_of(posteriors, tokens, n_segments))
                segments.append(posteriors.half())
                n_segments += len(posteriors)
        if not examples:
            raise UserError("No utterance holds anything from which errors could be learnt.")
        return cls(torch.cat(segments), torch.from_numpy(np.concatenate(examples)))

    def state(self) -> dict[str, Tensor]:
        """What the constructor takes."""
        return {"posteriors": self.posteriors, "examples": torch.from_numpy(self._examples)}

    @property
    def n_tokens(self) -> int:
        """Tokens that were said."""
        return len(self._examples)

    @property
    def missed(self) -> float:
        """Share of them for which nothing was heard."""
        return float((self._examples[:, 2] == 0).mean())

    @property
    def mistaken(self) -> float:
        """Share of them that were heard, but something else, or nothing, was likelier."""
        return float(self._examples[:, 4].mean())

    def check(self, tokens: Iterable[int], symbols: Sequence[str]) -> None:
        """Raises UserError for tokens that nobody said."""
        if unheard := sorted(set(tokens) - set(self._by_token[0])):
            raise UserError(
                f"The speech never holds {', '.join(symbols[token] for token in unheard)}, which "
                "the words to learn do; let the model hear more speech."
            )

    def say(self, tokens: np.ndarray, random: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """The text as heard, each token as somewhere in the speech.

        Returns:
            Posteriors (S, V) float32, and how many of these segments each token has.
        """
        by_token = self._by_token[random.choice(len(HARDNESS), p=HOW_OFTEN)]
        starts, numbers = np.empty(len(tokens), np.int64), np.empty(len(tokens), np.int64)
        for token in np.unique(tokens):
            where = np.flatnonzero(tokens == token)
            some = by_token[int(token)]
            starts[where], numbers[where] = some[random.integers(len(some), size=len(where))].T
        offsets = starts - (numbers.cumsum() - numbers)
        places = np.repeat(offsets, numbers) + np.arange(numbers.sum())
        return self.posteriors[torch.from_numpy(places)].float(), numbers

    def _of_class(self, hardness: int) -> dict[int, np.ndarray]:
        """Of each token (n, 2): first segment and number of segments of each example."""
        found = {}
        for token in np.unique(self._examples[:, 0]):
            all_ = self._examples[self._examples[:, 0] == token]
            some = all_[all_[:, 3] == hardness]
            found[int(token)] = (some if len(some) >= FEWEST else all_)[:, 1:3]
        return found
