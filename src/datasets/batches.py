"""The order in which utterances are read: a function of (seed, epoch) alone.

So a run that resumes in the middle of an epoch meets exactly the batches it had not seen, and
finds its place without reading any data.
"""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from src.utils.errors import UserError


class Batches(Sampler[list[int]]):
    """Batches of dataset indices for one epoch, from a batch of choice onward.

    Shuffling keeps padding low: the utterances are shuffled, cut into pools of `bucket_pool`
    batches, sorted by duration inside each pool, cut into batches, and the batches shuffled.

    Args:
        durations_s: (n,) seconds of each utterance.
        batch_size: most utterances in a batch.
        shuffle: a new order each epoch; otherwise the dataset's order, every time.
        seed: with the epoch, all that the order depends on.
        bucket_pool: batches sorted together. 1 is a plain shuffle; larger pools pad less and
            make neighbours in a batch more alike in duration.
        drop_last: leave out the utterances that don't fill a batch (each epoch others).
        max_batch_s: cap on utterances × longest of a batch, in seconds, so that long
            utterances come in smaller batches. None is no cap.
        sort_first_epoch: epoch 0 goes from the shortest to the longest utterance (SortaGrad,
            Deep Speech 2, arXiv:1512.02595, section 3.2).

    Raises:
        UserError: an argument makes no sense, or one utterance alone exceeds `max_batch_s`.
    """

    def __init__(
        self,
        durations_s: np.ndarray,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        bucket_pool: int = 20,
        drop_last: bool = False,
        max_batch_s: float | None = None,
        sort_first_epoch: bool = False,
    ) -> None:
        self.durations_s = np.asarray(durations_s, dtype=np.float32)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.bucket_pool = bucket_pool
        self.drop_last = drop_last
        self.max_batch_s = max_batch_s
        self.sort_first_epoch = sort_first_epoch
        self._check()
        self._planned: tuple[int, list[np.ndarray]] | None = None
        self.set_position(0, 0)

    def set_position(self, epoch: int, start_batch: int = 0) -> None:
        """Make the next iteration begin at batch `start_batch` of `epoch`; reads no data."""
        self.epoch = epoch
        self.start_batch = start_batch

    def state(self) -> dict[str, int]:
        """Where the next iteration begins; `set_position(**state)` goes back there."""
        return {"epoch": self.epoch, "start_batch": self.start_batch}

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._plan()[self.start_batch :]:
            yield batch.tolist()

    def __len__(self) -> int:
        """Batches of the whole epoch, wherever the next iteration begins."""
        return len(self._plan())

    def _plan(self) -> list[np.ndarray]:
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._make_plan())
        return self._planned[1]

    def _make_plan(self) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed % 2**63, self.epoch])
        n = len(self.durations_s)
        sorted_epoch = self.sort_first_epoch and self.epoch == 0
        # Drop before sorting: otherwise it would always be the longest that go.
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        if self.drop_last:
            order = order[: n - n % self.batch_size]
        if sorted_epoch:
            return self._cut(order[np.argsort(self.durations_s[order], kind="stable")])
        if not self.shuffle:
            return self._cut(order)
        pool = self.bucket_pool * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            rows = order[start : start + pool]
            if self.bucket_pool > 1:
                rows = rows[np.argsort(self.durations_s[rows], kind="stable")]
            batches += self._cut(rows)
        return [batches[i] for i in rng.permutation(len(batches))]

    def _cut(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows (n,) in their order, cut into batches within both limits."""
        if self.max_batch_s is None:
            return [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        batches, start, longest = [], 0, 0.0
        for i, seconds in enumerate(self.durations_s[rows].tolist()):
            longest = max(longest, seconds)
            n = i - start + 1
            if n > self.batch_size or n * longest > self.max_batch_s:
                batches.append(rows[start:i])
                start, longest = i, seconds
        return [batch for batch in (*batches, rows[start:]) if len(batch)]

    def _check(self) -> None:
        for name in ("batch_size", "bucket_pool"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)}; expected a number from 1 up.")
        n = len(self.durations_s)
        if self.drop_last and self.max_batch_s is not None:
            raise UserError(
                "drop_last=true and max_batch_s can't be combined: capped batches are short on "
                "purpose. Set one of them to false or null."
            )
        if self.drop_last and n < self.batch_size:
            raise UserError(
                f"drop_last=true leaves nothing of {n} utterances at batch_size="
                f"{self.batch_size}; lower batch_size or set drop_last=false."
            )
        if self.max_batch_s is not None and n and self.durations_s.max() > self.max_batch_s:
            raise UserError(
                f"The longest utterance lasts {self.durations_s.max():.1f} s, more than a whole "
                f"batch may (max_batch_s={self.max_batch_s:g}); raise max_batch_s or lower "
                "the dataset's max_duration_s."
            )
