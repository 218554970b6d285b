"""Back-off language models in tensors: every n-gram is a key, every context a number."""

import warnings
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from src.language_models.arpa import is_arpa, read_arpa
from src.language_models.contexts import ROOT, Contexts, Misplaced
from src.language_models.grams import BOS, EOS, UNK, Grams
from src.language_models.stored import check_arrays, check_info
from src.utils.errors import UserError
from src.utils.mapped import MappedArrays, write_arrays
from src.utils.packed import PackedStrings


class NGram:
    """p(word | context) for many contexts at once, on any device.

    A context is a state: 0 is the empty one, each n-gram below the highest order has its own. The
    key of an n-gram is its context's state times the number of words plus its last word; all
    keys lie sorted in one tensor, beside log-probability and the state that follows. A missing
    key costs the state's back-off weight, and the next shorter context is asked.

    Attributes:
        words: their places are the indices that `score` takes.
        order: words of the longest n-gram.
    """

    TENSORS = ("keys", "log_probs", "targets", "backoffs", "shorter")
    KIND = "n-gram language model, 1"  # tells a file of ours from other arrays

    def __init__(self, words: tuple[str, ...], order: int, tensors: dict[str, Tensor]) -> None:
        self.words = words
        self.order = order
        self.index = {word: i for i, word in enumerate(words)}
        self.keys = tensors["keys"]  # (n,) int64, ascending
        self.log_probs = tensors["log_probs"]  # (n,) float32, natural log
        self.targets = tensors["targets"]  # (n,) int32, state after the n-gram
        self.backoffs = tensors["backoffs"]  # (n states,) float32, natural log
        self.shorter = tensors["shorter"]  # (n states,) int32, state without the first word

    @classmethod
    def build(cls, grams: Grams) -> Self:
        """The same model, ready to be asked.

        Raises:
            UserError: an n-gram listed twice, or one whose beginning is not listed; or too many.
        """
        return cls(tuple(grams.words), grams.order, _Builder(grams).tensors())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The model of a file that `save` wrote, mapped into memory; or of an ARPA file.

        Raises:
            UserError: not there, damaged, or no language model.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(
                f"{path}: no such language model; python -m scripts.train_lm estimates one."
            )
        if is_arpa(path):
            return cls.build(read_arpa(path))
        try:
            arrays = MappedArrays(path)
            order = check_info(arrays.info, cls.KIND)
            check_arrays(arrays)
            words = tuple(PackedStrings(arrays["words"], arrays["word_offsets"]))
            if len(set(words)) < len(words):
                raise ValueError("a word stands in it twice")
            # Mapped for reading only, which from_numpy can't express; nobody writes to them.
            with warnings.catch_warnings(action="ignore"):
                tensors = {name: torch.from_numpy(arrays[name]) for name in cls.TENSORS}
            return cls(words, order, tensors)
        except (ValueError, OSError) as error:
            raise UserError(
                f"{path}: is no language model of ours, or damaged ({error}). Name a file from "
                "scripts.train_lm, or an ARPA file, whose name ends in .arpa or .arpa.gz."
            ) from error

    def save(self, path: str | Path) -> None:
        """Write a file that opens at once, whatever its size, and is shared by processes.

        Raises:
            UserError: the folder can't be written or the disk is full.
        """
        words = PackedStrings.of(self.words)
        arrays = {name: getattr(self, name).cpu().numpy() for name in self.TENSORS}
        arrays |= {"words": words.data, "word_offsets": words.offsets}
        write_arrays(path, {"kind": self.KIND, "order": self.order}, arrays)

    def to(self, device: torch.device | str) -> Self:
        """The same model on `device`; itself where it is there already."""
        if self.keys.device == torch.device(device):
            return self
        tensors = {name: getattr(self, name).to(device) for name in self.TENSORS}
        return type(self)(self.words, self.order, tensors)

    def find(self, word: str) -> int:
        """Index of a word, of <unk> where it is none of ours; −1 where there is no <unk> either."""
        return self.index.get(word, self.index.get(UNK, -1))

    def start(self) -> int:
        """State after <s>; the empty context where the model knows no <s>."""
        if BOS not in self.index:
            return ROOT
        key = torch.tensor([self.index[BOS]], device=self.keys.device)
        return int(self.targets[torch.searchsorted(self.keys, key)])

    def score(self, states: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of `words` in the contexts `states`, and the states that follow.

        Args:
            states: of any shape, int64. words: of the same shape, int64; −1 is impossible.

        Returns:
            natural logs in float32, and states in int64, both of that shape.
        """
        totals = torch.zeros(states.shape, device=states.device)
        targets, open_ = torch.full_like(states, ROOT), words >= 0
        totals.masked_fill_(~open_, -torch.inf)
        for _ in range(self.order):
            # By take and in place: advanced indexing needs three times as long on a CPU.
            keys = states * len(self.words) + words
            places = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
            found = open_ & (self.keys.take(places) == keys)
            totals += self.log_probs.take(places).masked_fill_(~found, 0.0)
            targets = torch.where(found, self.targets.take(places).long(), targets)
            open_ = open_ & ~found
            totals += self.backoffs.take(states).masked_fill_(~open_, 0.0)
            states = torch.where(open_, self.shorter.take(states).long(), states)
        return totals, targets

    def sentence(self, words: list[str], *, begins: bool = True, ends: bool = True) -> list[float]:
        """Log-probability of each word in turn, and of </s> where the sentence `ends`."""
        state = torch.tensor([self.start() if begins else ROOT], device=self.keys.device)
        scores = []
        for word in [*words, *([EOS] if ends else [])]:
            score, state = self.score(state, torch.full_like(state, self.find(word)))
            scores.append(float(score))
        return scores


class _Builder:
    """Numbers the n-grams, order by order, and finds what each is without its first word."""

    def __init__(self, grams: Grams) -> None:
        self.grams = grams
        self.contexts = Contexts(len(grams.words))
        self.shorter = np.full(1, ROOT)  # of each n-gram: the longest known one that is its end

    def tensors(self) -> dict[str, Tensor]:
        """What NGram keeps."""
        grams, log_probs, backoffs = self.grams, [], [np.zeros(1, np.float32)]
        for k in range(1, grams.order + 1):
            n_shorter = len(self.contexts.keys) + 1
            rows = self._add(k)
            log_probs.append(grams.log_probs[k - 1][rows])
            backoffs.append(grams.backoffs[k - 1][rows])
        # The longest n-grams are no contexts: what follows them is that of their ends.
        backoffs = np.concatenate(backoffs[:-1])
        useful = self._useful(backoffs)
        targets = np.concatenate([np.arange(1, n_shorter), self.shorter[n_shorter:]])
        arrays = {
            "keys": self.contexts.keys,
            "log_probs": np.concatenate(log_probs),
            "targets": useful[targets].astype(np.int32),
            "backoffs": backoffs,
            "shorter": useful[self.shorter[:n_shorter]].astype(np.int32),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _add(self, k: int) -> np.ndarray:
        """Number the k-grams; their rows in the order of their numbers."""
        ids = self.grams.ids[k - 1]
        before = len(self.contexts.keys)
        try:
            rows = self.contexts.add(ids)
        except Misplaced as error:
            gram = " ".join(self.grams.words[i] for i in ids[error.row])
            raise UserError(f"The {k}-gram {gram!r} {error.fault}.") from None
        if k == 1:
            if len(ids) != self.contexts.n_words:
                raise UserError(
                    f"{self.contexts.n_words} words, but {len(ids)} 1-grams: each is one."
                )
            self.shorter = np.full(1 + len(ids), ROOT)
            return rows
        beginnings, last = np.divmod(self.contexts.keys[before:], self.contexts.n_words)
        self.shorter = np.concatenate([self.shorter, self._after(self.shorter[beginnings], last)])
        return rows

    def _after(self, numbers: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The longest known n-gram that is the end of `numbers` followed by `words`."""
        result, numbers = np.full(len(numbers), ROOT), numbers.copy()
        open_ = np.arange(len(numbers))
        while len(open_):
            longer = self.contexts.child(numbers[open_], words[open_])
            result[open_] = np.maximum(longer, ROOT)
            open_ = open_[(longer < 0) & (numbers[open_] != ROOT)]
            numbers[open_] = self.shorter[numbers[open_]]
        return result

    def _useful(self, backoffs: np.ndarray) -> np.ndarray:
        """For each context the longest one with the same future: what begins no n-gram and backs
        off for nothing may be shortened at once."""
        asked = np.zeros(len(backoffs), bool)
        asked[self.contexts.keys // self.contexts.n_words] = True
        useful = np.arange(len(backoffs))
        idle = np.flatnonzero(~asked & (backoffs == 0))
        useful[idle] = self.shorter[idle]
        for _ in range(self.grams.order):  # each turn takes a word away
            useful = useful[useful]
        return useful
