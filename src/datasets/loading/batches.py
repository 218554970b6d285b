"""The order in which utterances are read: a function of (seed, epoch) alone.

So a run that resumes in the middle of an epoch meets exactly the batches it had not seen, and
finds its place without reading any data.
"""

import logging
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from src.utils.errors import UserError
from src.utils.tables import counted

logger = logging.getLogger(__name__)

# Seconds that an utterance counts at least, so that recordings without sound can't fill a
# batch without end.
LEAST_S = 0.01


def make_batches(dataset: Any, **keys: Any) -> "Batches":
    """The order in which a dataset is read: `Batches`, or what it has in their place."""
    own = getattr(dataset, "batches", None)
    return own(**keys) if own is not None else Batches(dataset.durations_s, **keys)


class Plan(NamedTuple):
    """An epoch: two arrays, whatever its size."""

    order: np.ndarray  # (n,) int64, dataset indices, batch after batch
    offsets: np.ndarray  # (n_batches + 1,) int64, where each batch begins and the last one ends


class Batches(Sampler[list[int]]):
    """Batches of dataset indices for one epoch, from a batch of choice onward.

    Shuffling keeps padding low: the utterances are shuffled, cut into pools worth about
    `bucket_pool` batches, sorted by duration inside each pool, cut into batches, and the batches
    shuffled.

    Args:
        durations_s: (n,) seconds of each utterance.
        batch_size: most utterances in a batch; None leaves it to `max_batch_s`.
        max_batch_s: most padded seconds in a batch: utterances × the longest of them. Short
            utterances come in large batches, long ones in small batches. None is no limit.
        shuffle: a new order each epoch; otherwise the dataset's order, every time.
        seed: with the epoch, all that the order depends on.
        bucket_pool: batches sorted together. 1 is a plain shuffle; larger pools pad less and
            make neighbours in a batch more alike in duration.
        drop_last: leave out the utterances that don't fill a batch (each epoch others).
        sort_first_epoch: epoch 0 goes from the shortest to the longest utterance (SortaGrad,
            Deep Speech 2, arXiv:1512.02595, section 3.2).
        rank, world: of `world` processes that share each batch, this one reads every `world`-th
            utterance from number `rank` on. The limits are those of all together, so the plan
            is the same for any number of processes. A batch of fewer utterances than processes
            is an empty list for some: all yield equally many.

    Raises:
        UserError: an argument makes no sense, or one utterance alone exceeds `max_batch_s`.
    """

    def __init__(
        self,
        durations_s: np.ndarray,
        batch_size: int | None = None,
        *,
        shuffle: bool,
        max_batch_s: float | None = None,
        seed: int = 0,
        bucket_pool: int = 20,
        drop_last: bool = False,
        sort_first_epoch: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.durations_s = np.asarray(durations_s, dtype=np.float32)
        self.batch_size = batch_size
        self.max_batch_s = max_batch_s
        self.shuffle = shuffle
        self.seed = seed
        self.bucket_pool = bucket_pool
        self.drop_last = drop_last
        self.sort_first_epoch = sort_first_epoch
        self.rank = rank
        self.world = world
        self._check()
        self._planned: tuple[int, Plan] | None = None
        self._told: set[bool] = set()
        self.set_position(0, 0)

    def set_position(self, epoch: int, start_batch: int = 0) -> None:
        """Make the next iteration begin at batch `start_batch` of `epoch`; reads no data."""
        self.epoch = epoch
        self.start_batch = start_batch

    def state(self) -> dict[str, int]:
        """Where the next iteration begins; `set_position(**state)` goes back there."""
        return {"epoch": self.epoch, "start_batch": self.start_batch}

    def __iter__(self) -> Iterator[list[int]]:
        order, offsets = self._plan()
        for batch in range(self.start_batch, len(offsets) - 1):
            begin, end = offsets[batch], offsets[batch + 1]
            yield order[begin + self.rank : end : self.world].tolist()

    def __len__(self) -> int:
        """Batches of the whole epoch, wherever the next iteration begins."""
        return len(self._plan().offsets) - 1

    def padding_share(self) -> float:
        """1 − seconds of speech / seconds in the padded batches, over the whole epoch."""
        return self._speech_and_padded_s()[1]

    def _speech_and_padded_s(self) -> tuple[float, float]:
        order, offsets = self._plan()
        if not len(order):
            return 0.0, 0.0
        seconds = self.durations_s[order]
        longest = np.maximum.reduceat(seconds, offsets[:-1])
        padded_s = float(np.dot(longest.astype(np.float64), np.diff(offsets)))
        speech_s = float(seconds.sum(dtype=np.float64))
        return speech_s, 1 - speech_s / padded_s if padded_s else 0.0

    def _plan(self) -> Plan:
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._make_plan())
            self._tell()
        return self._planned[1]

    def _tell(self) -> None:
        """One line of the log about the first epoch of each kind."""
        if not self.shuffle or self.rank or self._is_sorted() in self._told:
            return
        self._told.add(self._is_sorted())
        order, offsets = self._plan()
        speech_s, padding = self._speech_and_padded_s()
        n = max(1, len(offsets) - 1)
        logger.info(
            "%s epoch: %s of %.1f utterances and %.0f s of speech on average; padding is "
            "%.1f %% of what is computed.",
            "Sorted" if self._is_sorted() else "Shuffled",
            counted(len(offsets) - 1, "batch", "batches"),
            *(len(order) / n, speech_s / n, 100 * padding),
        )

    def _is_sorted(self) -> bool:
        return self.sort_first_epoch and self.epoch == 0

    def _make_plan(self) -> Plan:
        rng = np.random.default_rng([self.seed % 2**63, self.epoch])
        n = len(self.durations_s)
        # Drop before sorting: otherwise it would always be the longest that go.
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        if self.drop_last:
            order = order[: n - n % self.batch_size]
        return self._plan_of(order, rng)

    def _plan_of(self, order: np.ndarray, rng: np.random.Generator) -> Plan:
        """The batches of utterances (n,) that were shuffled already."""
        if self._is_sorted():
            order = order[np.argsort(self.durations_s[order], kind="stable")]
        elif self.shuffle and self.bucket_pool > 1:
            order = self._sorted_in_pools(order)
        offsets = self._cut(order)
        if self.shuffle and not self._is_sorted():
            return _shuffled(Plan(order, offsets), rng)
        return Plan(order, offsets)

    def _sorted_in_pools(self, order: np.ndarray) -> np.ndarray:
        """`order` (n,) by duration inside each pool, by turns up and down.

        So a batch that reaches over the end of a pool meets its like on the other side.
        """
        pool = self.bucket_pool * self._typical_batch()
        n_whole = len(order) - len(order) % pool
        pools = order[:n_whole].reshape(-1, pool)
        places = np.argsort(self.durations_s[pools], axis=1, kind="stable")
        pools = np.take_along_axis(pools, places, axis=1)
        pools[1::2] = pools[1::2, ::-1].copy()
        rest = order[n_whole:]
        rest = rest[np.argsort(self.durations_s[rest], kind="stable")]
        return np.concatenate([pools.ravel(), rest[::-1] if len(pools) % 2 else rest])

    def _typical_batch(self) -> int:
        """About how many utterances a batch holds."""
        sizes = [self.batch_size] if self.batch_size else []
        if self.max_batch_s is not None and len(self.durations_s):
            mean_s = max(float(self.durations_s.mean(dtype=np.float64)), LEAST_S)
            sizes.append(max(1, round(self.max_batch_s / mean_s)))
        return min(sizes, default=1)

    def _cut(self, order: np.ndarray) -> np.ndarray:
        """Where batches begin and end in `order` (n,), as full as both limits allow."""
        n = len(order)
        if self.max_batch_s is None:
            return np.append(np.arange(0, n, self.batch_size), n)
        seconds = np.maximum(self.durations_s[order], np.float32(LEAST_S))
        most = min(n, self.batch_size or n)
        counts = np.arange(1.0, 1 + min(most, int(self.max_batch_s / LEAST_S) + 1))
        offsets = [0]
        while (start := offsets[-1]) < n:
            # No batch that holds the first can hold more than this.
            reach = min(most, int(self.max_batch_s / seconds[start]))
            longest = np.maximum.accumulate(seconds[start : start + reach])
            padded_s = longest * counts[: len(longest)]
            fitting = int(np.searchsorted(padded_s, self.max_batch_s, side="right"))
            offsets.append(start + max(1, fitting))
        return np.array(offsets)

    def _check(self) -> None:
        if self.batch_size is None and self.max_batch_s is None:
            raise UserError(
                "loader.batch_size and loader.max_batch_s are both null, so nothing says how "
                "large a batch is; give one of them, such as loader.batch_size=16."
            )
        for name, least in (("batch_size", 1), ("bucket_pool", 1), ("world", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name}={value}; expected a number from {least} up.")
        if self.max_batch_s is not None and not 0 < self.max_batch_s < math.inf:
            raise UserError(f"max_batch_s={self.max_batch_s}; expected seconds above 0, or null.")
        if not 0 <= self.rank < self.world:
            raise UserError(f"rank={self.rank}; expected a number from 0 to {self.world - 1}.")
        self._check_against_durations()

    def _check_against_durations(self) -> None:
        n = len(self.durations_s)
        if self.drop_last and self.max_batch_s is not None:
            raise UserError(
                "drop_last=true and max_batch_s can't be combined: capped batches are short on "
                "purpose. Set one of them to false or null."
            )
        if self.drop_last and n < self.batch_size:
            raise UserError(
                f"drop_last=true leaves nothing of {counted(n, 'utterance')} at batch_size="
                f"{self.batch_size}; lower batch_size or set drop_last=false."
            )
        if self.max_batch_s is not None and n and self.durations_s.max() > self.max_batch_s:
            raise UserError(
                f"The longest utterance lasts {self.durations_s.max():.1f} s, more than a whole "
                f"batch may (max_batch_s={self.max_batch_s:g}); raise max_batch_s or lower "
                "the dataset's max_duration_s."
            )


def _shuffled(plan: Plan, rng: np.random.Generator) -> Plan:
    """The same batches in another order."""
    sizes = np.diff(plan.offsets)
    batches = rng.permutation(len(sizes))
    offsets = np.concatenate([[0], np.cumsum(sizes[batches])])
    shifts = plan.offsets[batches] - offsets[:-1]
    places = np.repeat(shifts, sizes[batches]) + np.arange(len(plan.order))
    return Plan(plan.order[places], offsets)
