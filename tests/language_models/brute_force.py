"""Interpolated modified Kneser-Ney from Chen and Goodman's formulas, with dicts and no tricks."""

from collections import Counter
from collections.abc import Sequence

from src.language_models import BOS, EOS, UNK

Gram = tuple[str, ...]


class KneserNey:
    """p(word | context) of a text, by recursion.

    Args:
        thresholds: n-grams of order 1, 2, … that were seen at most so often are left out.
    """

    def __init__(self, text: Sequence[Sequence[str]], order: int, thresholds: Sequence[int]):
        self.order = order
        sentences = [(BOS, *sentence, EOS) for sentence in text]
        self.seen = [
            Counter(s[i : i + k] for s in sentences for i in range(len(s) - k + 1))
            for k in range(1, order + 1)
        ]
        self.words = {word for s in sentences for word in s} | {UNK, EOS}
        self.left_out = [
            {gram for gram, n in seen.items() if n <= threshold}
            for seen, threshold in zip(self.seen, thresholds, strict=True)
        ]
        self.counts = [self._counts(k) for k in range(1, order + 1)]
        self.discounts = [self._discounts(counts) for counts in self.counts]

    def _counts(self, k: int) -> dict[Gram, int]:
        """Times seen at the highest order and after <s>, else the number of words seen before."""
        seen = self.seen[k - 1]
        if k == 1:
            seen = {gram: n for gram, n in seen.items() if gram != (BOS,)}
        if k == self.order:
            return dict(seen)
        return {
            gram: n if gram[0] == BOS else sum(longer[1:] == gram for longer in self.seen[k])
            for gram, n in seen.items()
        }

    def _discounts(self, counts: dict[Gram, int]) -> list[float]:
        n = Counter(count for gram, count in counts.items() if gram != (UNK,))
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            d = [0.0, *(j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3))]
            if all(0 <= d[j] <= j for j in (1, 2, 3)):
                return d
        return [0.0, 0.5, 1.0, 1.5]

    def backoff(self, context: Gram) -> float:
        """What a context leaves to shorter ones."""
        counts, lost, discounts = (
            part[len(context)] for part in (self.counts, self.left_out, self.discounts)
        )
        after = {gram: n for gram, n in counts.items() if gram[:-1] == context}
        if not after:
            return 1.0
        taken = sum(n if gram in lost else discounts[min(n, 3)] for gram, n in after.items())
        return taken / sum(after.values())

    def prob(self, context: Gram, word: str) -> float:
        """The probability of a word other than <s>."""
        context = context[max(0, len(context) - self.order + 1) :]
        k = len(context) + 1
        lower = self.prob(context[1:], word) if context else 1 / (len(self.words) - 1)
        gram, counts = (*context, word), self.counts[k - 1]
        own = 0.0
        if gram in counts and gram not in self.left_out[k - 1]:
            total = sum(n for other, n in counts.items() if other[:-1] == context)
            own = (counts[gram] - self.discounts[k - 1][min(counts[gram], 3)]) / total
        return own + self.backoff(context) * lower

    def kept(self) -> set[Gram]:
        """The n-grams of the model."""
        grams = {g for k in range(self.order) for g in set(self.seen[k]) - self.left_out[k]}
        return grams | {(UNK,)}
