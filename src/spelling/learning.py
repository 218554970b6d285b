"""How a speller learns: texts as they would be heard, AdamW, one cycle, a running mean."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence

from src.language_models.neural_training import rate
from src.models.speller import Speller
from src.spelling.confusions import Confusions
from src.spelling.written import Text, Written
from src.utils.devices import autocast
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_waits

RISE = 0.05  # share of the steps in which the rate rises
MAX_GRAD_NORM = 1.0
DECAY = 0.998  # of the running mean of the weights, which is what is kept
BLANK = 0
NO_TARGET = -100  # what nll_loss passes over


@dataclass(frozen=True)
class Recipe:
    """How to learn.

    Attributes:
        n_steps: of AdamW.
        batch_words: words in a step, about.
        lr: the highest learning rate.
        weight_decay: of AdamW.
        seed: of the texts, their errors and the dropout.
    """

    n_steps: int = 8000
    batch_words: int = 750
    lr: float = 1.5e-3
    weight_decay: float = 0.01
    seed: int = 0


class Learner:
    """One training of a speller.

    Args:
        precision: of the matrix products, "float32" or "bf16".

    Attributes:
        step: steps done.
        mean: the running mean of the weights, by name.
    """

    def __init__(
        self,
        speller: Speller,
        text: Written,
        confusions: Confusions,
        recipe: Recipe,
        precision: str,
    ) -> None:
        self.speller, self.text, self.confusions = speller, text, confusions
        self.recipe, self.precision = recipe, precision
        self.device = speller.head.weight.device
        self.optimizer = torch.optim.AdamW(
            speller.parameters(), recipe.lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
        )
        self.step = 0
        self.mean = {name: tensor.clone() for name, tensor in speller.state_dict().items()}

    def run(self, after_step: Callable[[float], None]) -> None:
        """Take the steps that are left.

        Args:
            after_step: called with the loss of a segment, natural log.

        Raises:
            UserError: a loss or gradient that is not finite; the weights are those before it.
        """
        while self.step < self.recipe.n_steps:
            with ctrl_c_waits():  # a step is done or not, for whoever keeps the state
                loss = self._learn()
            after_step(loss)

    def state(self) -> dict:
        """What `restore` needs to go on from here."""
        return {
            "speller": self.speller.state_dict(),
            "mean": self.mean,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def restore(self, state: dict) -> None:
        """Go on from a state that `state` returned, with the same text, speech and recipe."""
        self.speller.load_state_dict(state["speller"])
        self.mean = {name: tensor.to(self.device) for name, tensor in state["mean"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def _learn(self) -> float:
        recipe = self.recipe
        random = np.random.default_rng((recipe.seed, self.step))
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)  # of dropout
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * rate(self.step, recipe.n_steps, RISE)
        heard, targets = [], []
        for text in self.text.batch(recipe.batch_words, random):
            posteriors, numbers = self.confusions.say(text.said, random)
            heard.append(posteriors)
            targets.append(torch.from_numpy(placed(text, numbers)))
        self.speller.train()
        loss = mean_loss(self.speller, heard, targets, self.precision)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self.speller.parameters(), MAX_GRAD_NORM)
        if not (loss.isfinite() and norm.isfinite()):
            raise UserError(
                f"The loss or its gradient is not finite after step {self.step:,}; start over with "
                "a lower learning rate."
            )
        self.optimizer.step()
        self.step += 1
        share = 1 - min(DECAY, self.step / (self.step + 20))  # early weights are soon forgotten
        for name, tensor in self.speller.state_dict().items():
            self.mean[name].lerp_(tensor, share)
        return loss.item()


def placed(text: Text, numbers: np.ndarray) -> np.ndarray:
    """What each segment is to write, (S,) int64: a word's pieces in its first segments.

    CTC's loss would leave the model to find a place for each piece, and neighbours that disagree
    about it write one twice or never. Here the places are known. Where a word has fewer segments
    than pieces, the rest stands in the next ones.

    Args:
        numbers: segments of each token that is said.
    """
    owners = np.repeat(text.words, numbers)
    targets, place = np.full(len(owners), BLANK), 0
    starts = np.searchsorted(owners, np.arange(len(text.written)))
    for start, pieces in zip(starts, text.written, strict=True):
        place = max(place, start)
        end = min(place + len(pieces), len(targets))
        targets[place:end] = pieces[: end - place]
        place = end
    return targets


def mean_loss(
    speller: Speller, heard: list[Tensor], targets: list[Tensor], precision: str
) -> Tensor:
    """The cross-entropy of a segment, natural log.

    Args:
        heard: (S, V) posteriors of each text's segments. targets: (S,) what each is to write.
        precision: of the matrix products.
    """
    device = speller.head.weight.device
    lengths = torch.tensor([len(some) for some in heard])
    with autocast(device, precision):
        log_probs = speller(pad_sequence(heard, batch_first=True).to(device), lengths)
    wanted = torch.full(log_probs.shape[:2], NO_TARGET)
    for row, some in zip(wanted, targets, strict=True):
        row[: len(some)] = some
    wanted = wanted.to(device).flatten()
    losses = functional.nll_loss(log_probs.flatten(0, 1), wanted, reduction="sum")
    return losses / lengths.sum().clamp(min=1).to(device)  # of a batch unheard: 0
