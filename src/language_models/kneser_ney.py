"""n-gram models estimated from text: interpolated modified Kneser-Ney smoothing.

Sources: Chen and Goodman 1999, sections 2.7 and 3 (three discounts an order); Heafield et al. 2013
(arXiv-free, ACL P13-2121), section 3, for pruning and for where <s> and <unk> stand. All counting
is done by sorting arrays.
"""

import logging
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from src.language_models.grams import BOS, EOS, HIGHEST_ORDER, NEVER, UNK, Grams
from src.utils.errors import UserError

logger = logging.getLogger(__name__)

FALLBACK = (0.5, 1.0, 1.5)  # of n-grams seen once, twice, more often; as KenLM's
SPECIAL = (UNK, BOS, EOS)  # words 0, 1, 2


@dataclass
class _Order:
    """All distinct k-grams of a text, sorted by (beginning, last word)."""

    prefix: np.ndarray  # (n,) row among the (k − 1)-grams of all but the last word
    suffix: np.ndarray  # (n,) row of all but the first word
    last: np.ndarray  # (n,) last word
    seen: np.ndarray  # (n,) times in the text
    after_bos: np.ndarray  # (n,) begins with <s>


def estimate(
    sentences: Iterable[Sequence[str]],
    order: int = 4,
    prune: Sequence[int] = (),
    vocabulary_size: int | None = None,
) -> Grams:
    """The language model of `sentences`, each without <s> and </s>.

    Args:
        order: words of the longest n-grams.
        prune: n-grams of order 1, 2, … seen at most so often are left out, the last number
            holding for all longer ones; such as (0, 0, 1). The first is always 0.
        vocabulary_size: so many of the commonest words are kept, the others become <unk>; of
            words that are as common, those met first. None = all.

    Raises:
        UserError: no words, an order outside 1 … 12, or thresholds that fall from order to order.
    """
    thresholds = _thresholds(order, prune)
    words, text = _limited(*_numbered(sentences), vocabulary_size)
    orders = _count(text, order)
    counts = [_adjusted(orders, k) for k in range(order)]
    log_probs, backoffs, kept = [], [], []
    lower = np.full(1, 1 / (len(words) - 1))  # uniform over all that can follow: not <s>
    for k, (table, count) in enumerate(zip(orders, counts, strict=True)):
        keep = (table.seen > thresholds[k]) | (k == 0)
        discounts = _discounts(count[table.last > 1] if k == 0 else count, k + 1)
        probs, weights = _smooth(table, count, keep, discounts, lower)
        if k:
            backoffs.append(weights[kept[-1]])
        log_probs.append(_log(probs[keep]))
        kept.append(keep)
        lower = probs
    backoffs.append(np.ones(kept[-1].sum()))
    log_probs[0][1] = NEVER  # <s> is never met, only gone on from
    return Grams(words, _spelt(orders, kept), log_probs, [_log(weights) for weights in backoffs])


def _thresholds(order: int, prune: Sequence[int]) -> list[int]:
    if not 1 <= order <= HIGHEST_ORDER:
        raise UserError(
            f"A language model of order {order}: its n-grams have 1 to {HIGHEST_ORDER} words."
        )
    given = list(prune) or [0]
    filled = (given + given[-1:] * order)[:order]
    if filled != sorted(filled) or filled[0] != 0 or len(given) > order:
        raise UserError(
            f"Pruning thresholds {given} for order {order}: give at most one an order, the first 0 "
            "(every word is kept), none lower than the one before it, such as 0 0 1."
        )
    return filled


def _numbered(sentences: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], np.ndarray]:
    """The words, and the text as their indices with <s> and </s> around each sentence."""
    index = {word: i for i, word in enumerate(SPECIAL)}
    unk, bos, eos = range(3)
    text = array("i")
    for sentence in sentences:
        text.append(bos)
        # A special word inside a text would end or begin a sentence there.
        text.extend(index.setdefault(w, len(index)) if w not in SPECIAL else unk for w in sentence)
        text.append(eos)
    if len(index) == len(SPECIAL):
        raise UserError("The text has no words, so there is nothing to estimate.")
    return tuple(index), np.frombuffer(text, np.int32)


def _limited(
    words: tuple[str, ...], text: np.ndarray, vocabulary_size: int | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """The commonest words, and the text in their indices."""
    n_special = len(SPECIAL)
    if vocabulary_size is None or vocabulary_size >= len(words) - n_special:
        return words, text
    common = np.argsort(-np.bincount(text)[n_special:], kind="stable")[:vocabulary_size]
    kept = np.concatenate([np.arange(n_special), n_special + np.sort(common)])
    index = np.full(len(words), SPECIAL.index(UNK), np.int32)
    index[kept] = np.arange(len(kept))
    return tuple(words[i] for i in kept), index[text]


def _count(text: np.ndarray, order: int) -> list[_Order]:
    """The distinct n-grams of each order, none across the end of a sentence."""
    n_words, eos = max(int(text.max()) + 1, len(SPECIAL)), SPECIAL.index(EOS)
    words = np.arange(n_words, dtype=np.int32)
    nothing = np.zeros(n_words, np.int32)
    seen = np.bincount(text, minlength=n_words)
    orders = [_Order(nothing, nothing, words, seen, words == SPECIAL.index(BOS))]
    starts, row_at = np.arange(len(text), dtype=np.int32), text  # row of the k-gram at each start
    for k in range(2, order + 1):
        starts = starts[text[starts + k - 2] != eos]
        keys = row_at[starts].astype(np.int64) * n_words + text[starts + k - 1]
        keys, first, rows, seen = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        prefix, last = (part.astype(np.int32) for part in np.divmod(keys, n_words))
        suffix = row_at[starts[first] + 1]
        orders.append(_Order(prefix, suffix, last, seen, orders[-1].after_bos[prefix]))
        row_at = np.full(len(text), -1, np.int32)
        row_at[starts] = rows
    return orders


def _adjusted(orders: list[_Order], k: int) -> np.ndarray:
    """What stands for an n-gram's count: in how many different words' company it was met.

    The longest n-grams, and those after <s>, which nothing precedes, keep their counts.
    """
    table = orders[k]
    count = table.seen
    if k + 1 < len(orders):
        company = np.bincount(orders[k + 1].suffix, minlength=len(count))
        count = np.where(table.after_bos, count, company)
    return np.where(table.after_bos, 0, count) if k == 0 else count


def _discounts(counts: np.ndarray, order: int) -> np.ndarray:
    """What is taken from n-grams of count 0, 1, 2, and 3 or more (Chen and Goodman, eq. 26)."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if n[:3].all():
        j, y = np.arange(1, 4), n[0] / (n[0] + 2 * n[1])
        discounts = j - (j + 1) * y * n[1:] / n[:-1]
        if ((discounts >= 0) & (discounts <= j)).all():
            return np.array([0, *discounts])
    logger.info("Too few %d-grams to estimate their discounts; taking %s.", order, FALLBACK)
    return np.array([0, *FALLBACK])


def _smooth(
    table: _Order, count: np.ndarray, keep: np.ndarray, discounts: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of an order's n-grams, and the weights of their beginnings' back-off.

    Args:
        lower: probabilities of the next shorter n-grams.
    """
    taken = np.where(keep, discounts[np.minimum(count, 3)], count)  # all of what is left out
    totals = np.bincount(table.prefix, count, minlength=len(lower))
    weights = np.ones(len(lower))
    np.divide(
        np.bincount(table.prefix, taken, minlength=len(lower)), totals, weights, where=totals > 0
    )
    own = (count - taken) / np.maximum(totals, 1)[table.prefix]
    return own + weights[table.prefix] * lower[table.suffix], weights


def _spelt(orders: list[_Order], kept: list[np.ndarray]) -> list[np.ndarray]:
    """Word indices of the kept n-grams, (n_k, k) for each order."""
    ids, spelt = np.zeros((1, 0), np.int32), []
    for table, keep in zip(orders, kept, strict=True):
        ids = np.concatenate([ids[table.prefix], table.last[:, None].astype(np.int32)], axis=1)
        spelt.append(ids[keep])
    return spelt


def _log(probs: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(probs), NEVER).astype(np.float32)
