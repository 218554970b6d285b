"""The order in which a stream is read: what comes near each other lies near each other."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from src.datasets.loading.batches import Batches, Plan
from src.utils.errors import UserError


class StreamBatches(Batches):
    """`Batches` of a stream that shuffles within a bounded buffer.

    An epoch takes the shards in a new order, each from its beginning to its end, and fills the
    buffer again and again; what is in it is shuffled, sorted and cut into batches as `Batches`
    does with a whole corpus. So no more than the buffer is ever in memory, and all that was said
    of `Batches` holds: the order follows from seed and epoch, for any number of workers and
    processes, and can be entered at any batch.

    Args:
        durations_s: (n,) seconds of each utterance.
        shards: (n,) int, the shard of each; those of a shard in the order in which they lie.
        shuffle_buffer: utterances in memory at a time, those of all processes together.
        sort_first_epoch: goes from short to long within each buffer.
        keys: see `Batches`; `drop_last` is refused.
    """

    def __init__(
        self, durations_s: np.ndarray, shards: np.ndarray, shuffle_buffer: int, **keys: Any
    ) -> None:
        if shuffle_buffer < 1:
            raise UserError(f"shuffle_buffer={shuffle_buffer}; expected a number from 1 up.")
        if keys.get("drop_last"):
            raise UserError("drop_last=true: a stream has a short batch at the end of each buffer.")
        self.shards = np.asarray(shards)
        self.shuffle_buffer = shuffle_buffer
        self._typical: int | None = None
        super().__init__(durations_s, **keys)

    def fillings(self, start_batch: int) -> Iterator[tuple[int, int]]:
        """First batch and the one after the last of each filling of the buffer, from a batch on."""
        self._plan()
        for begin, end in itertools.pairwise(self._bounds):
            if end > start_batch:
                yield max(begin, start_batch), end

    def _make_plan(self) -> Plan:
        rng = np.random.default_rng([self.seed % 2**63, self.epoch])
        tape = self._tape(rng)
        plans = []
        for begin in range(0, len(tape), self.shuffle_buffer):
            filling = tape[begin : begin + self.shuffle_buffer]
            plans.append(self._plan_of(rng.permutation(filling) if self.shuffle else filling, rng))
        self._bounds = np.cumsum([0, *(len(plan.offsets) - 1 for plan in plans)]).tolist()
        starts = np.cumsum([0, *(len(plan.order) for plan in plans)])
        offsets = [plan.offsets[1:] + start for plan, start in zip(plans, starts, strict=False)]
        order = np.concatenate([np.zeros(0, np.int64), *(plan.order for plan in plans)])
        return Plan(order, np.concatenate([np.zeros(1, np.int64), *offsets]))

    def _typical_batch(self) -> int:
        # Asked for each filling, and reckoned from all utterances.
        if self._typical is None:
            self._typical = super()._typical_batch()
        return self._typical

    def _tape(self, rng: np.random.Generator) -> np.ndarray:
        """(n,) rows, shard after shard."""
        if not self.shuffle:
            return np.arange(len(self.durations_s))
        numbers = np.unique(self.shards)
        turn = np.empty(len(numbers), np.int64)
        turn[rng.permutation(len(numbers))] = np.arange(len(numbers))
        return np.argsort(turn[np.searchsorted(numbers, self.shards)], kind="stable")
