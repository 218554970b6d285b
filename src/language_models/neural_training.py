"""How a neural language model learns: sentences of about one length side by side, Adam, one cycle.

A run that ends early goes on where it was, to the step: which sentences come when depends on the
seed and the pass alone.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from src.language_models.neural import NO_TARGET, NeuralLM, side_by_side
from src.utils.devices import autocast
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_waits

POOL = 64  # batches whose sentences are sorted by length together
RISE = 0.1  # share of the steps in which the rate rises
MAX_GRAD_NORM = 1.0


@dataclass(frozen=True)
class Recipe:
    """How to learn.

    Attributes:
        n_epochs: passes over the text.
        batch_tokens: at most so many tokens in a step, padding included.
        lr: the highest learning rate.
        weight_decay: of AdamW.
        seed: of the sentences' order and the dropout.
    """

    n_epochs: int = 6
    batch_tokens: int = 2048
    lr: float = 4e-3
    weight_decay: float = 0.01
    seed: int = 0


class Text:
    """Sentences as tokens, one after the other in one array.

    Args:
        sentences: tokens of each; those longer than `longest` are cut into parts of that length.
    """

    def __init__(self, sentences: Iterable[Sequence[int]], longest: int = 256) -> None:
        parts = [
            np.array(sentence[i : i + longest], np.int32)
            for sentence in sentences
            for i in range(0, len(sentence), longest)
        ]
        self.lengths = np.array([len(part) for part in parts])
        self._tokens = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        self._starts = np.concatenate([[0], self.lengths.cumsum()])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def n_tokens(self) -> int:
        """Of all sentences, without their edges."""
        return len(self._tokens)

    def __getitem__(self, i: int) -> np.ndarray:
        return self._tokens[self._starts[i] : self._starts[i + 1]]

    def digest(self) -> str:
        """Tells one text from another."""
        return hashlib.sha256(self._tokens.tobytes() + self._starts.tobytes()).hexdigest()

    def batches(self, n_tokens: int, seed: int) -> list[np.ndarray]:
        """Places of the sentences of each batch; all once, those of a batch of about one length."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(self))
        n_pooled = max(1, int(POOL * n_tokens / (self.lengths.mean() + 1)))
        found = []
        for begin in range(0, len(order), n_pooled):
            pool = order[begin : begin + n_pooled]
            found += _cut(pool[self.lengths[pool].argsort(kind="stable")], self.lengths, n_tokens)
        return [found[i] for i in random.permutation(len(found))]


def _cut(places: np.ndarray, lengths: np.ndarray, n_tokens: int) -> list[np.ndarray]:
    """Sentences in ascending order of length, cut into batches of `n_tokens` at most."""
    batches, begin = [], 0
    for end, place in enumerate(places, 1):
        if (end - begin) * (lengths[place] + 1) > n_tokens and end - 1 > begin:
            batches.append(places[begin : end - 1])
            begin = end - 1
    return [*batches, places[begin:]]


class Learner:
    """One training of a model.

    Args:
        precision: of the matrix products, "float32" or "bf16".

    Attributes:
        step: steps done; `total_steps` of them are all.
    """

    def __init__(self, model: NeuralLM, text: Text, recipe: Recipe, precision: str) -> None:
        self.model, self.text, self.recipe, self.precision = model, text, recipe, precision
        self.device = model.bias.device
        self.optimizer = torch.optim.AdamW(
            model.parameters(), recipe.lr, weight_decay=recipe.weight_decay
        )
        self.step = 0
        # Every pass is cut anew, so it is cut in advance to know how many steps there will be.
        self._n_steps = [len(self._batches(epoch)) for epoch in range(recipe.n_epochs)]
        self.total_steps = sum(self._n_steps)

    def run(self, after_step: Callable[[float, int], None]) -> None:
        """Take the steps that are left.

        Raises:
            UserError: a loss or gradient that is not finite; the weights are those before it.

        Args:
            after_step: called with the mean loss of a token, natural log, and their number.
        """
        first = 0
        for epoch, n in enumerate(self._n_steps):
            if self.step < first + n:
                for batch in self._batches(epoch)[self.step - first :]:
                    with ctrl_c_waits():  # a step is done or not, for whoever keeps the state
                        done = self._learn(batch)
                    after_step(*done)
            first += n

    def state(self) -> dict:
        """What `restore` needs to go on from here."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def restore(self, state: dict) -> None:
        """Go on from a state that `state` returned, with the same text and recipe."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def epoch(self) -> float:
        """Passes done, with the fraction of the one that is going on."""
        first = 0
        for epoch, n in enumerate(self._n_steps):
            if self.step < first + n:
                return epoch + (self.step - first) / n
            first += n
        return float(len(self._n_steps))

    def _batches(self, epoch: int) -> list[np.ndarray]:
        recipe = self.recipe
        return self.text.batches(recipe.batch_tokens, recipe.seed * 1_000_003 + epoch)

    def _learn(self, batch: np.ndarray) -> tuple[float, int]:
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)  # of dropout
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * rate(self.step, self.total_steps)
        self.model.train()
        inputs, targets = (
            x.to(self.device) for x in side_by_side([self.text[int(i)] for i in batch])
        )
        loss, n = mean_loss(self.model, inputs, targets, self.precision)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM)
        if not (loss.isfinite() and norm.isfinite()):
            raise UserError(
                f"The loss or its gradient is not finite after step {self.step:,}; start over with "
                "a lower learning rate."
            )
        self.optimizer.step()
        self.step += 1
        return loss.item(), n


def mean_loss(
    model: NeuralLM, inputs: Tensor, targets: Tensor, precision: str
) -> tuple[Tensor, int]:
    """Cross-entropy of a token, natural log, and the number of tokens, edges included."""
    with autocast(inputs.device, precision):
        logits = model(inputs)
    loss = functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET
    )
    return loss, int((targets != NO_TARGET).sum())


def rate(step: int, total_steps: int, rise_share: float = RISE) -> float:
    """Share of the highest learning rate: up in a line, then down along a cosine to nothing."""
    rise = max(1, round(rise_share * total_steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(1, total_steps - rise))
